/* One SSH connection: libssh's packet layer fed and drained by our own poll loop. */
#ifndef SSHD_CONNECTION_H
#define SSHD_CONNECTION_H

#include <stdatomic.h>
#include <stdint.h>

#include "libssh_internal.h"

#include "bind.h"
#include "buffer.h"
#include "native.h"
#include "channel.h"

#define SSHD_OUTPUT_LIMIT (256 * 1024) /* unsent bytes above which nothing more is read or served */

typedef enum { SSHD_OPEN, SSHD_PEER_GONE, SSHD_BROKEN } sshd_connection_state;

struct sshd_connection {
    sshd_bind *bind;
    ssh_session session;
    struct ssh_packet_callbacks_struct callbacks;
    sshd_connection_state state;
    int error;
    int authenticated;
    int keys_announced;
    int received_all; /* the last recv(2) did not fill the buffer: poll before the next */
    sshd_buffer rx;
    sshd_buffer message; /* the SSH message that waits for Python */
    int message_ready;
    int wake_fd;
    _Atomic int woken;
    sshd_channel *channels[SSHD_CHANNELS];
    int channel_over; /* one of them is closed in both directions */
    int turn;    /* the channel whose turn is next */
    int current; /* the channel of the last packet event, or -1 */
    int64_t deadline;       /* all in ns of the monotonic clock; 0 is none */
    int64_t stall_limit;
    int64_t owing_since;    /* no byte has left since, although some should */
    uint64_t owing_mark;    /* bytes_out then */
    int64_t flushed;
    int64_t exchange_began;
    int64_t active;         /* when the peer last sent something */
    int64_t rest_at;
    int kept_back; /* packets sent by Python since the exchange began */
    int trimmed;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t bytes_at_rest;
};

#define SSHD_SECOND 1000000000LL
#define SSHD_REST_AFTER (5 * SSHD_SECOND)

int64_t sshd_now(void);
int sshd_connection_socket(sshd_connection *c);
/* Bytes that libssh holds for the socket. */
size_t sshd_connection_unsent(sshd_connection *c);
/* Something waits for the peer to read: bytes for the socket, or replies for a channel's window. */
int sshd_connection_owing(sshd_connection *c);
/* Hands libssh's bytes to the socket, as many as it takes now. */
void sshd_connection_send_out(sshd_connection *c);
/* Gives libssh one packet. 1 when it took one, 0 when more bytes are needed. */
int sshd_connection_feed(sshd_connection *c);
/* Reads what the socket has. Negative errno when memory is short; the peer's end shows in `state`. */
int sshd_connection_receive(sshd_connection *c);
/* Sleeps until the socket is ready for `events` (1), somebody woke us (2), both (3), or `due` has come (0). */
int sshd_connection_wait(sshd_connection *c, int64_t due, short events, int wake_too);
/* rest.c: gives back what a transfer made large. */
void sshd_connection_rest(sshd_connection *c);
/* A key exchange after the first is running: nothing may be served. */
int sshd_connection_exchanging(sshd_connection *c);
/* The peer has closed it, orderly (0) or with an errno. */
void sshd_connection_gone(sshd_connection *c, int error);
/* Ends the connection: what the peer sent breaks the protocol. */
void sshd_connection_break(sshd_connection *c, int error);

#endif
