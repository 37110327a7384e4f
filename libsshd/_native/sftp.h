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
    sshd_handle_stats *stats;
    size_t length;
    uint8_t name[];
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
    sshd_handle **handles;
    size_t handle_count;
    size_t handle_size;
    size_t last;
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

#endif
