/* The connection protocol, RFC 4254 section 5: windows and data of the channels of one connection. */
#ifndef SSHD_CHANNEL_H
#define SSHD_CHANNEL_H

#include <stdint.h>

#include "sftp.h"

#define SSHD_CHANNEL_PACKET_MAX (64 * 1024)
#define SSHD_WINDOW_IDLE (384 * 1024)       /* holds the largest SFTP packet and a quarter more */
#define SSHD_WINDOW_BUSY (2 * 1024 * 1024)  /* once a transfer runs */

typedef struct {
    uint32_t remote_id;
    uint32_t remote_window;
    uint32_t remote_packet_max;
    uint32_t local_window; /* what the peer may still send */
    uint32_t window;       /* what the peer may send and what waits here, together */
    uint64_t idle_mark;    /* bytes served when the window was last small */
    int started;           /* the SFTP subsystem runs */
    int eof_received;
    int close_received;
    int eof_announced; /* Python knows that nothing more comes */
    int finishing;     /* Python wants it closed once the replies are out */
    int close_sent;
    int exit_status;
    sshd_sftp sftp;
} sshd_channel;

struct sshd_connection;

void sshd_channel_free(struct sshd_connection *c, sshd_channel *ch);
/* One of the messages 91-97, without its type byte. */
void sshd_channel_receive(struct sshd_connection *c, uint8_t type, const uint8_t *payload, size_t length);
/* Moves replies to libssh as far as the peer's window allows, then the closing messages that are due. */
int sshd_channel_pump(struct sshd_connection *c, sshd_channel *ch);
/* Back to the small window and to no buffers. */
void sshd_channel_rest(struct sshd_connection *c, sshd_channel *ch);

#endif
