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
    int64_t output_moved;
    int64_t exchange_began;
    int64_t active;
    int kept_back; /* packets sent by Python since the exchange began */
    int trimmed;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t bytes_at_rest;
};

int64_t sshd_now(void);
/* Bytes that libssh holds for the socket. */
size_t sshd_connection_unsent(sshd_connection *c);
/* A key exchange after the first is running: nothing may be served. */
int sshd_connection_exchanging(sshd_connection *c);
/* Ends the connection: what the peer sent breaks the protocol. */
void sshd_connection_break(sshd_connection *c, int error);

#endif
