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

/* How long the peer keeps us waiting. Times are those that poll(2) slept, in all: what we take to answer, in C or in
 * Python, is not the peer's doing. */
typedef struct {
    int64_t slept;
    int64_t moved;       /* when the last byte moved, in either direction */
    int64_t left;        /* when the last byte left, or the first began to wait */
    uint64_t left_mark;  /* bytes_out then */
    int owing;           /* bytes wait for the peer to take them */
    int64_t limit;       /* 0 is none */
    int64_t requested;   /* when the last request was served */
    int64_t idle_limit;  /* 0 is none */
    int64_t alive_every; /* 0 is never */
    int64_t alive_sent;
    uint32_t unanswered;
    uint32_t unanswered_most;
} sshd_patience;

struct sshd_connection {
    sshd_bind *bind;
    ssh_session session;
    struct ssh_packet_callbacks_struct callbacks;
    sshd_connection_state state;
    int error;
    int authenticated;
    int announces_banner;
    int muted; /* a packet could not be encrypted: none may follow */
    int exchanging; /* as the last packet left it */
    int received_all; /* the last recv(2) did not fill the buffer: poll before the next */
    sshd_buffer rx;
    sshd_buffer message; /* the SSH message that waits for Python */
    int message_ready;
    int wake_fd;
    _Atomic int woken;
    uint32_t peer_reason;  /* of its DISCONNECT, 0 without one */
    sshd_buffer peer_text; /* its description, as far as it may be long */
    sshd_channel *channels[SSHD_CHANNELS];
    int channel_over; /* one of them is closed in both directions */
    int turn;    /* the channel whose turn is next */
    int current; /* the channel of the last packet event, or -1 */
    uint64_t version_most; /* bytes of a peer that is not logged in; 0 is no limit */
    uint64_t packet_most;
    uint64_t login_most;
    int64_t deadline;       /* all in ns of the monotonic clock; 0 is none */
    int64_t flushed;
    int64_t read_time; /* after which other threads come first */
    int64_t breath;    /* after which what is owed leaves, and others of this connection come first */
    int64_t awake;     /* since when this thread runs without a pause */
    sshd_patience patience;
    int64_t exchange_began; /* only of those after the first */
    int64_t handed_over;    /* when an event went to Python during one */
    int strict;              /* SSHD_STRICT_... */
    int strict_kex;          /* agreed upon in the first exchange */
    uint64_t exchanges;       /* that are complete */
    uint64_t exchange_mark;   /* bytes in and out when the last one ended */
    uint64_t rekey_threshold; /* bytes after which the next one begins, 0 for none */
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
#define SSHD_EXCHANGE_LIMIT (30 * SSHD_SECOND) /* for the peer's part of one */

/* The connection a session of libssh's belongs to. */
sshd_connection *sshd_connection_of(ssh_session session);
int64_t sshd_now(void);
int64_t sshd_seconds(double seconds);
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
/* patience.c: the time at which it ends when nothing moves until then, from now on; 0 for never. */
int64_t sshd_patience_due(sshd_connection *c, int64_t now);
/* 1 when it has ended. Sends the keep-alive that is due, and gives up a peer that left too many unanswered. */
int sshd_patience_over(sshd_connection *c);
/* 1 when no request came for too long. */
int sshd_patience_idle(sshd_connection *c);
/* After an attempt to send. */
void sshd_patience_sent(sshd_connection *c);
void sshd_patience_received(sshd_connection *c);
/* rest.c: gives back what a transfer made large. */
void sshd_connection_rest(sshd_connection *c);
/* exchange.c: a key exchange is running: nothing may be served. */
int sshd_connection_exchanging(sshd_connection *c);
/* Whether the packet just taken completed a key exchange. */
int sshd_exchange_ended(sshd_connection *c);
/* Gives up a peer that leaves an exchange unanswered. */
void sshd_exchange_watch(sshd_connection *c);
/* Begins an exchange when so many bytes have been moved that one is due. Negative errno when it cannot. */
int sshd_exchange_due(sshd_connection *c);
/* The peer has closed it, orderly (0) or with an errno. */
void sshd_connection_gone(sshd_connection *c, int error);
/* Tells the peer why it ends, RFC 4253 section 11.1, as far as the socket takes it now. */
void sshd_connection_say_why(sshd_connection *c, int reason, const char *text, size_t length);
/* Ends the connection: what the peer sent breaks the protocol. */
void sshd_connection_break(sshd_connection *c, int error);

#endif
