/* SFTP framing, the handle table and the hot path: what a channel and a pair of descriptors have in common. */
#ifndef SSHD_SFTP_H
#define SSHD_SFTP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "native.h"

#define SSHD_PACKET_MAX (256 * 1024)          /* of an SFTP packet, without its length field */
#define SSHD_DATA_MAX (SSHD_PACKET_MAX - 1024) /* of one READ or WRITE: 255 KiB */
#define SSHD_BATCH (128 * 1024)                /* replies collected before they are sent */
#define SSHD_HANDLE_NAME_MAX 256
#define SSHD_STATUS_MAX 256

typedef struct {
    int fd;
    int access;
    int owned; /* C opened it and closes it */
    sshd_handle_stats *stats;
    sshd_handle_stats own_stats; /* where `stats` points when C opened it */
    size_t path_length;
    size_t length;
    uint8_t name[]; /* then the path, if C opened it */
} sshd_handle;

/* Rule: all of it belongs to the connection's thread, only `watch` may be written by others. */
struct sshd_sftp {
    sshd_buffer in;
    sshd_buffer out;
    size_t taken;     /* bytes at the head of `in` that an event still shows */
    uint64_t consumed; /* bytes of `in` that were served, ever */
    _Atomic int watch;
    int discard; /* nobody takes the replies any more */
    sshd_order order;
    sshd_files files;
    sshd_handle **handles;
    size_t handle_count;
    size_t handle_size;
    size_t last; /* the handle that was found last */
    uint8_t ok[SSHD_STATUS_MAX]; /* encoded STATUS replies, the request id still to be filled in */
    size_t ok_length;
    uint8_t eof[SSHD_STATUS_MAX];
    size_t eof_length;
};

typedef enum { SSHD_SERVE_IDLE, SSHD_SERVE_FULL, SSHD_SERVE_EVENT } sshd_serve_result;

int sshd_sftp_init(sshd_sftp *s, const uint8_t *ok, size_t ok_length, const uint8_t *eof, size_t eof_length);
void sshd_sftp_release(sshd_sftp *s);
/* Serves what needs no Python. Negative errno when memory is short, else an sshd_serve_result. */
int sshd_sftp_serve(sshd_sftp *s, size_t budget, sshd_event *e);
void sshd_sftp_done(sshd_sftp *s);

/* --- handles.c --- */
sshd_handle *sshd_handle_find(sshd_sftp *s, const uint8_t *name, size_t length);
int sshd_handle_insert(sshd_sftp *s, sshd_handle *h);
/* Takes the handle that was found last out of the table; it is the caller's. */
sshd_handle *sshd_handle_take(sshd_sftp *s);
void sshd_handles_release(sshd_sftp *s);

/* --- files.c, sftp.c: the hot path --- */

/* What a hot function did, when it is not a negative errno. */
enum { SSHD_HOT_ANSWERED, SSHD_HOT_LEFT_TO_PYTHON, SSHD_HOT_FAILED };

int sshd_hot_open(sshd_sftp *s, const uint8_t *payload, size_t length);
int sshd_hot_close(sshd_sftp *s, const uint8_t *payload, size_t length, sshd_event *e);
int sshd_hot_status(sshd_sftp *s, const uint8_t *packet, size_t length, uint32_t request_id);
int sshd_hot_fail(sshd_event *e, uint32_t request_id, int error, int operation, const uint8_t *handle, size_t length);

#endif
