#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define RX_FIRST (8 * 1024)
#define RX_MOST (128 * 1024)
#define STACK_KEPT 4096 /* below the frame that gives the rest back: room for its own calls */
#define MESSAGE_MAX (64 * 1024)
#define EXCHANGE_LIMIT (30 * SECOND)
#define REST_AFTER (5 * SECOND)
#define TRIM_WORTH (1024 * 1024)
#define FLUSH_LIMIT (2 * SECOND)
#define LINGER_LIMIT (1 * SECOND)
#define KEPT_BACK_MOST 1000
#define SERVE_BUDGET (256 * 1024)

/* --- what libssh would do by itself --- */

/* Rule: only sshd_connection_next waits. libssh asks for this when it wants to run its own poll loop. */
int __wrap_ssh_handle_packets_termination(ssh_session session, int timeout, ssh_termination_function done, void *user);
int __wrap_ssh_handle_packets_termination(ssh_session session, int timeout, ssh_termination_function done, void *user) {
    (void)session, (void)timeout, (void)done, (void)user;
    return SSH_AGAIN;
}

/* A full socket is no error: libssh keeps what was not sent. */
ssize_t __real_send(int fd, const void *data, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t length, int flags) {
    ssize_t n;

    do
        n = __real_send(fd, data, length, flags);
    while (n < 0 && errno == EINTR);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : n;
}

/* --- helpers --- */

int64_t sshd_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

size_t sshd_connection_unsent(sshd_connection *c) {
    return (size_t)ssh_socket_buffered_write_bytes(c->session->socket);
}

int sshd_connection_exchanging(sshd_connection *c) {
    return c->session->dh_handshake_state != DH_STATE_FINISHED;
}

void sshd_connection_break(sshd_connection *c, int error) {
    if (c->state == SSHD_OPEN) {
        c->state = SSHD_BROKEN;
        c->error = error;
    }
}

static void peer_gone(sshd_connection *c, int error) {
    if (c->state == SSHD_OPEN) {
        c->state = SSHD_PEER_GONE;
        c->error = error;
    }
}

static int socket_of(sshd_connection *c) {
    return ssh_socket_get_fd(c->session->socket);
}

/* --- packets: ours come before libssh's --- */

static int on_message(ssh_session session, uint8_t type, ssh_buffer packet, void *user) {
    sshd_connection *c = user;
    size_t length = ssh_buffer_get_len(packet);

    (void)session;
    c->message.start = c->message.end = 0;
    if (length > MESSAGE_MAX || sshd_buffer_append(&c->message, &type, 1) < 0 ||
        sshd_buffer_append(&c->message, ssh_buffer_get(packet), length) < 0)
        sshd_connection_break(c, EPROTO);
    else
        c->message_ready = 1;
    return SSH_PACKET_USED;
}

/* Rule: a channel exists only after our own success, whatever libssh's filter thinks. */
static int on_channel(ssh_session session, uint8_t type, ssh_buffer packet, void *user) {
    sshd_connection *c = user;

    (void)session;
    if (c->authenticated)
        sshd_channel_receive(c, type, ssh_buffer_get(packet), ssh_buffer_get_len(packet));
    else
        sshd_connection_break(c, EPROTO);
    return SSH_PACKET_USED;
}

static int on_disconnect(ssh_session session, uint8_t type, ssh_buffer packet, void *user) {
    (void)session, (void)type, (void)packet;
    peer_gone(user, 0);
    return SSH_PACKET_USED;
}

static int on_ignored(ssh_session session, uint8_t type, ssh_buffer packet, void *user) {
    (void)session, (void)type, (void)packet, (void)user;
    return SSH_PACKET_USED;
}

static const ssh_packet_callback handlers[] = {
    [SSH2_MSG_DISCONNECT] = on_disconnect,
    [SSH2_MSG_SERVICE_REQUEST] = on_message,
    [SSH2_MSG_USERAUTH_REQUEST] = on_message,
    [SSH2_MSG_USERAUTH_INFO_RESPONSE] = on_message,
    [SSH2_MSG_GLOBAL_REQUEST] = on_message,
    [SSH2_MSG_REQUEST_SUCCESS] = on_ignored,
    [SSH2_MSG_REQUEST_FAILURE] = on_ignored,
    [SSH2_MSG_CHANNEL_OPEN] = on_message,
    [SSH2_MSG_CHANNEL_OPEN_CONFIRMATION] = on_channel,
    [SSH2_MSG_CHANNEL_OPEN_FAILURE] = on_channel,
    [SSH2_MSG_CHANNEL_WINDOW_ADJUST] = on_channel,
    [SSH2_MSG_CHANNEL_DATA] = on_channel,
    [SSH2_MSG_CHANNEL_EXTENDED_DATA] = on_channel,
    [SSH2_MSG_CHANNEL_EOF] = on_channel,
    [SSH2_MSG_CHANNEL_CLOSE] = on_channel,
    [SSH2_MSG_CHANNEL_REQUEST] = on_message,
    [SSH2_MSG_CHANNEL_SUCCESS] = on_ignored,
    [SSH2_MSG_CHANNEL_FAILURE] = on_ignored,
};

/* --- life --- */

sshd_connection *sshd_connection_new(sshd_bind *b, int fd) {
    sshd_connection *c = calloc(1, sizeof *c);
    int taken = 0;

    if (c == NULL)
        goto fail;
    c->bind = b;
    c->current = -1;
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->session = ssh_new();
    if (c->wake_fd < 0 || c->session == NULL || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        goto fail;
    ssh_set_blocking(c->session, 0);
    if (ssh_options_set(c->session, SSH_OPTIONS_COMPRESSION_C_S, "none") != SSH_OK ||
        ssh_options_set(c->session, SSH_OPTIONS_COMPRESSION_S_C, "none") != SSH_OK)
        goto fail;
    taken = 1;
    if (sshd_bind_accept(b, c->session, fd) < 0) {
        taken = ssh_socket_get_fd(c->session->socket) == fd;
        goto fail;
    }
    c->callbacks.start = 0;
    c->callbacks.n_callbacks = sizeof handlers / sizeof *handlers;
    c->callbacks.callbacks = (ssh_packet_callback *)handlers;
    c->callbacks.user = c;
    ssh_packet_set_callbacks(c->session, &c->callbacks);
    if (ssh_handle_key_exchange(c->session) == SSH_ERROR)
        goto fail;
    c->active = c->output_moved = sshd_now();
    return c;
fail:
    if (!taken)
        close(fd);
    sshd_connection_free(c);
    return NULL;
}

void sshd_connection_free(sshd_connection *c) {
    if (c == NULL)
        return;
    for (int i = 0; i < SSHD_CHANNELS; i++)
        sshd_channel_free(c, c->channels[i]);
    ssh_free(c->session);
    if (c->wake_fd >= 0)
        close(c->wake_fd);
    sshd_buffer_release(&c->rx);
    sshd_buffer_release(&c->message);
    free(c);
}

/* --- input --- */

/* Gives libssh one packet. 1 when it took one, 0 when more bytes are needed. */
static int feed(sshd_connection *c) {
    struct ssh_socket_callbacks_struct *up = &c->session->socket_callbacks;
    size_t length = sshd_buffer_length(&c->rx);
    size_t used;

    if (length == 0)
        return 0;
    used = up->data(sshd_buffer_head(&c->rx), length, up->userdata);
    sshd_buffer_consume(&c->rx, used);
    if (c->session->session_state == SSH_SESSION_STATE_ERROR || !ssh_socket_is_open(c->session->socket))
        sshd_connection_break(c, EPROTO);
    return used > 0;
}

/* The buffer grows while the socket keeps filling it, and beyond that only for one large packet. */
static int receive(sshd_connection *c) {
    size_t want = c->rx.size / 2;
    ssize_t n;
    int rc;

    if (!c->received_all && c->rx.size < RX_MOST)
        want = c->rx.size;
    if (want < RX_FIRST)
        want = RX_FIRST;
    rc = sshd_buffer_reserve(&c->rx, want);
    if (rc < 0)
        return rc;
    do
        n = recv(socket_of(c), sshd_buffer_tail(&c->rx), sshd_buffer_room(&c->rx), 0);
    while (n < 0 && errno == EINTR);
    c->received_all = n < (ssize_t)sshd_buffer_room(&c->rx);
    if (n > 0) {
        c->rx.end += (size_t)n;
        c->bytes_in += (uint64_t)n;
        c->active = sshd_now();
        c->trimmed = 0;
    } else if (n == 0) {
        peer_gone(c, 0);
    } else if (errno != EAGAIN) {
        peer_gone(c, errno);
    }
    return 0;
}

/* --- output --- */

static void flush_socket(sshd_connection *c) {
    size_t before = sshd_connection_unsent(c);
    size_t after;

    if (before == 0)
        return;
    ssh_socket_set_write_wontblock(c->session->socket);
    ssh_socket_nonblocking_flush(c->session->socket);
    if (!ssh_socket_is_open(c->session->socket)) {
        peer_gone(c, EPIPE);
        return;
    }
    after = sshd_connection_unsent(c);
    if (after < before) {
        c->bytes_out += before - after;
        c->output_moved = sshd_now();
    }
}

static int pump(sshd_connection *c) {
    int rc = 0;

    for (int i = 0; i < SSHD_CHANNELS && rc == 0; i++) {
        if (c->channels[i] != NULL && c->state == SSHD_OPEN)
            rc = sshd_channel_pump(c, c->channels[i]);
    }
    if (rc == 0)
        flush_socket(c);
    return rc;
}

/* Something waits for the peer to read. */
static int output_pending(sshd_connection *c) {
    if (sshd_connection_unsent(c) > 0)
        return 1;
    for (int i = 0; i < SSHD_CHANNELS; i++) {
        if (c->channels[i] != NULL && sshd_buffer_length(&c->channels[i]->sftp.out) > 0)
            return 1;
    }
    return 0;
}

int sshd_connection_flush(sshd_connection *c) {
    return pump(c);
}

/* --- rest: what a transfer made large is given back --- */

static void renew_socket(sshd_connection *c) {
    ssh_socket old = c->session->socket;
    ssh_socket fresh = ssh_socket_new(c->session);
    int fd = ssh_socket_get_fd(old);

    if (fresh == NULL)
        return;
    if (ssh_socket_set_fd(fresh, fd) != SSH_OK) {
        ssh_socket_reset(fresh);
        ssh_socket_free(fresh);
        return;
    }
    ssh_socket_set_connected(fresh, ssh_socket_get_poll_handle(fresh));
    ssh_socket_set_callbacks(fresh, &c->session->socket_callbacks);
    ssh_socket_reset(old); /* forgets the descriptor without closing it */
    ssh_socket_free(old);
    c->session->socket = fresh;
}

static void renew_buffer(ssh_buffer *buffer) {
    ssh_buffer fresh = ssh_buffer_new();

    if (fresh == NULL)
        return;
    ssh_buffer_free(*buffer);
    *buffer = fresh;
}

/* The key exchange and Python reach deep into the stack once; the pages below this frame hold nothing any more. */
static __attribute__((noinline)) void renew_stack(void) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    pthread_attr_t attributes;
    size_t size, guard;
    void *low;

    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0 && pthread_attr_getguardsize(&attributes, &guard) == 0) {
        uintptr_t from = (uintptr_t)low + guard + page;
        uintptr_t to = (here - STACK_KEPT) & ~(page - 1);

        if (here > (uintptr_t)low && here - (uintptr_t)low <= size && here > STACK_KEPT && from < to)
            madvise((void *)from, to - from, MADV_DONTNEED);
    }
    pthread_attr_destroy(&attributes);
}

/* After a transfer the allocator keeps what was freed. Asked at most once a second, for it looks at every arena. */
static int renew_heap(sshd_connection *c) {
    int64_t now = sshd_now();
    int64_t last = atomic_load(&c->bind->heap_trimmed);

    if (c->bytes_in + c->bytes_out - c->bytes_at_rest < TRIM_WORTH)
        return 1;
    if (now - last < SECOND || !atomic_compare_exchange_strong(&c->bind->heap_trimmed, &last, now))
        return 0;
    c->bytes_at_rest = c->bytes_in + c->bytes_out;
    malloc_trim(0);
    return 1;
}

static void rest(sshd_connection *c) {
    c->trimmed = 1;
    if (output_pending(c) || sshd_buffer_length(&c->rx) > 0 || c->message_ready)
        return;
    for (int i = 0; i < SSHD_CHANNELS; i++) {
        if (c->channels[i] != NULL)
            sshd_channel_rest(c, c->channels[i]);
    }
    sshd_buffer_release(&c->rx);
    sshd_buffer_release(&c->message);
    renew_buffer(&c->session->in_buffer);
    renew_buffer(&c->session->out_buffer);
    renew_socket(c);
    renew_stack();
    if (!renew_heap(c)) {
        c->trimmed = 0; /* another one has just been at it: again in a second */
        c->active = sshd_now() - REST_AFTER + SECOND;
    }
}

/* --- waiting --- */

static int64_t nearest(int64_t a, int64_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The next instant at which something is due, 0 for none. */
static int64_t next_due(sshd_connection *c) {
    int64_t due = c->deadline;

    if (c->stall_limit && output_pending(c))
        due = nearest(due, c->output_moved + c->stall_limit);
    if (c->exchange_began)
        due = nearest(due, c->exchange_began + EXCHANGE_LIMIT);
    if (!c->trimmed && c->authenticated)
        due = nearest(due, c->active + REST_AFTER);
    return due;
}

static int wait_until(sshd_connection *c, int64_t due, short events, int wake_too) {
    struct pollfd pollers[2] = {{socket_of(c), events, 0}, {c->wake_fd, POLLIN, 0}};
    int64_t left = due ? due - sshd_now() : 0;
    struct timespec timeout;

    if (left < 0)
        left = 0;
    timeout.tv_sec = left / SECOND;
    timeout.tv_nsec = left % SECOND;
    if (ppoll(pollers, wake_too ? 2 : 1, due ? &timeout : NULL, NULL) < 0)
        return errno == EINTR ? 0 : -errno;
    return (pollers[0].revents ? 1 : 0) | (pollers[1].revents ? 2 : 0);
}

static int event(sshd_event *e, int kind) {
    e->kind = kind;
    return 1;
}

static int overdue(sshd_connection *c, sshd_event *e) {
    int64_t now = sshd_now();

    if (c->deadline && now >= c->deadline) {
        c->deadline = 0;
        return event(e, SSHD_EVENT_DEADLINE);
    }
    if (c->stall_limit && output_pending(c) && now >= c->output_moved + c->stall_limit)
        return event(e, SSHD_EVENT_STALLED);
    if (c->exchange_began && now >= c->exchange_began + EXCHANGE_LIMIT)
        sshd_connection_break(c, ETIMEDOUT);
    if (!c->trimmed && c->authenticated && now >= c->active + REST_AFTER)
        rest(c);
    return 0;
}

/* The counter only ends the poll; what counts is the flag, which is set before it. */
static void drain_counter(sshd_connection *c) {
    uint64_t count;
    ssize_t n = read(c->wake_fd, &count, sizeof count);
    (void)n;
}

/* Rule: this is the only place where a connection's thread sleeps while it serves. */
static int wait_for_peer(sshd_connection *c) {
    size_t unsent = sshd_connection_unsent(c);
    short events = unsent > 0 ? POLLOUT : 0;
    int owing = output_pending(c);
    int ready;

    if (unsent < SSHD_OUTPUT_LIMIT)
        events |= POLLIN;
    ready = wait_until(c, next_due(c), events, 1);
    if (ready < 0)
        return ready;
    if (ready & 2)
        drain_counter(c);
    if (!owing)
        c->output_moved = sshd_now();
    if (ready & 1) {
        if (unsent > 0)
            flush_socket(c);
        if ((events & POLLIN) && c->state == SSHD_OPEN) {
            int rc = receive(c);
            if (rc < 0)
                return rc;
        }
        if (!(events & POLLIN) && c->state == SSHD_OPEN && sshd_connection_unsent(c) == unsent)
            return receive(c); /* an error or hang-up of the peer shows only in recv */
    }
    return 0;
}

/* --- serving --- */

/* Rule: a channel's number is free before the next packet is looked at, which may want it. */
static int report_over(sshd_connection *c, sshd_event *e) {
    for (int i = 0; c->channel_over && i < SSHD_CHANNELS; i++) {
        sshd_channel *ch = c->channels[i];

        if (ch != NULL && ch->close_sent && ch->close_received) {
            sshd_channel_free(c, ch);
            c->channels[i] = NULL;
            e->channel = i;
            return event(e, SSHD_EVENT_CLOSED);
        }
    }
    c->channel_over = 0;
    return 0;
}

static int serve_channel(sshd_connection *c, int i, sshd_event *e, int *more) {
    sshd_channel *ch = c->channels[i];
    int rc;

    if (!ch->started || ch->finishing) {
        if (!ch->eof_received || ch->finishing || ch->eof_announced)
            return 0;
        ch->eof_announced = 1;
        e->channel = i;
        return event(e, SSHD_EVENT_EOF);
    }
    rc = sshd_sftp_serve(&ch->sftp, SERVE_BUDGET, e);
    e->channel = i;
    if (rc < 0)
        return rc;
    if (rc == SSHD_SERVE_EVENT) {
        c->current = i;
        return 1;
    }
    /* More waits, and its replies will find room once the socket has taken these. */
    if (rc == SSHD_SERVE_FULL && (sshd_buffer_length(&ch->sftp.out) < SSHD_BATCH || ch->remote_window > 0))
        *more = 1;
    if (rc == SSHD_SERVE_IDLE && ch->eof_received && !ch->eof_announced) {
        ch->eof_announced = 1;
        e->length = sshd_buffer_length(&ch->sftp.in);
        return event(e, SSHD_EVENT_EOF);
    }
    return 0;
}

/* Round-robin: after an event the next channel comes first. */
static int serve(sshd_connection *c, sshd_event *e, int *more) {
    if (sshd_connection_exchanging(c) || sshd_connection_unsent(c) >= SSHD_OUTPUT_LIMIT)
        return 0;
    for (int n = 0; n < SSHD_CHANNELS; n++) {
        int i = c->turn;
        int rc;

        c->turn = (c->turn + 1) % SSHD_CHANNELS;
        if (c->channels[i] == NULL)
            continue;
        rc = serve_channel(c, i, e, more);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void watch_exchange(sshd_connection *c) {
    if (!sshd_connection_exchanging(c))
        c->exchange_began = 0, c->kept_back = 0;
    else if (c->exchange_began == 0 && c->authenticated)
        c->exchange_began = sshd_now();
}

/* Everything that is complete in the receive buffer, until Python is needed. */
static int take_input(sshd_connection *c, sshd_event *e) {
    while (c->state == SSHD_OPEN && sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT && feed(c)) {
        if (c->channel_over && report_over(c, e))
            return 1;
        if (c->message_ready) {
            c->message_ready = 0;
            e->data = sshd_buffer_head(&c->message);
            e->length = sshd_buffer_length(&c->message);
            return event(e, SSHD_EVENT_MESSAGE);
        }
        if (!c->keys_announced && c->session->session_state == SSH_SESSION_STATE_AUTHENTICATING) {
            c->keys_announced = 1;
            return event(e, SSHD_EVENT_KEYS);
        }
    }
    watch_exchange(c);
    return 0;
}

static int woken(sshd_connection *c, sshd_event *e) {
    return atomic_exchange(&c->woken, 0) ? event(e, SSHD_EVENT_WAKE) : 0;
}

static int step(sshd_connection *c, sshd_event *e) {
    int more = 0;
    int rc = woken(c, e);

    if (rc == 0)
        rc = overdue(c, e);
    if (rc == 0)
        rc = report_over(c, e);
    if (rc == 0)
        rc = take_input(c, e);
    if (rc == 0 && c->state == SSHD_OPEN)
        rc = serve(c, e, &more);
    if (rc != 0)
        return rc;
    rc = pump(c);
    if (rc < 0 || c->state != SSHD_OPEN || more || c->channel_over)
        return rc;
    if (!c->received_all && sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT)
        return receive(c);
    return wait_for_peer(c);
}

int sshd_connection_next(sshd_connection *c, const uint8_t *reply, size_t reply_length, sshd_event *e) {
    int rc = 0;

    memset(e, 0, sizeof *e);
    if (reply_length > 0 && c->current >= 0 && c->channels[c->current] != NULL)
        rc = sshd_sftp_reply(&c->channels[c->current]->sftp, reply, reply_length);
    c->current = -1;
    while (rc == 0 && c->state == SSHD_OPEN)
        rc = step(c, e);
    if (rc > 0)
        return 0;
    if (rc < 0)
        sshd_connection_break(c, -rc);
    e->kind = SSHD_EVENT_GONE;
    e->error = c->error;
    return 0;
}

/* --- the end --- */

/* Sends what is owed; the peer's packets are read on, for they open its windows. */
static void close_flush(sshd_connection *c, int64_t due) {
    while (c->state == SSHD_OPEN && pump(c) == 0 && output_pending(c) && sshd_now() < due) {
        if (wait_until(c, due, sshd_connection_unsent(c) ? POLLIN | POLLOUT : POLLIN, 0) < 0 || receive(c) < 0)
            return;
        while (c->state == SSHD_OPEN && feed(c))
            c->message_ready = 0;
    }
}

static void close_linger(sshd_connection *c) {
    int64_t due = sshd_now() + LINGER_LIMIT;
    uint8_t sink[4096];

    while (ssh_socket_is_open(c->session->socket) && sshd_now() < due && wait_until(c, due, POLLIN, 0) > 0) {
        ssize_t n = recv(socket_of(c), sink, sizeof sink, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}

/* Ends the connection from our side so that nothing owed to the client is lost: RFC 4253 section 11.1. */
int sshd_connection_close(sshd_connection *c, int reason, const char *text, size_t length) {
    int64_t due = sshd_now() + FLUSH_LIMIT;

    if (c->state == SSHD_PEER_GONE || !ssh_socket_is_open(c->session->socket))
        return 0;
    close_flush(c, due);
    if (c->state == SSHD_PEER_GONE || !ssh_socket_is_open(c->session->socket))
        return 0;
    ssh_buffer_reinit(c->session->out_buffer);
    if (ssh_buffer_pack(c->session->out_buffer, "bddPs", SSH2_MSG_DISCONNECT, (uint32_t)reason, (uint32_t)length, length,
                        text, "") == SSH_OK)
        ssh_packet_send(c->session);
    flush_socket(c);
    while (c->state != SSHD_PEER_GONE && sshd_connection_unsent(c) > 0 && wait_until(c, due, POLLOUT, 0) > 0)
        flush_socket(c);
    if (ssh_socket_is_open(c->session->socket) && shutdown(socket_of(c), SHUT_WR) == 0)
        close_linger(c);
    return 0;
}

/* --- orders --- */

void sshd_connection_wake(sshd_connection *c) {
    uint64_t one = 1;
    ssize_t n;

    atomic_store(&c->woken, 1);
    n = write(c->wake_fd, &one, sizeof one);
    (void)n; /* a full counter wakes as well */
}

static int64_t from_seconds(double seconds) {
    return (int64_t)(seconds * (double)SECOND);
}

void sshd_connection_deadline(sshd_connection *c, double seconds) {
    c->deadline = seconds < 0 ? 0 : sshd_now() + from_seconds(seconds);
}

void sshd_connection_stall_limit(sshd_connection *c, double seconds) {
    c->stall_limit = seconds <= 0 ? 0 : from_seconds(seconds);
}

int sshd_connection_rekey(sshd_connection *c) {
    if (!c->authenticated || sshd_connection_exchanging(c))
        return -EBUSY;
    return ssh_send_rekex(c->session) == SSH_OK ? 0 : -EIO;
}

int sshd_connection_send(sshd_connection *c, const uint8_t *payload, size_t length) {
    if (c->state != SSHD_OPEN || !ssh_socket_is_open(c->session->socket))
        return -EPIPE;
    /* libssh keeps these until the exchange is over: a peer that never answers ours must not fill memory. */
    if (sshd_connection_exchanging(c) && ++c->kept_back > KEPT_BACK_MOST)
        return -EPIPE;
    if (ssh_buffer_add_data(c->session->out_buffer, payload, (uint32_t)length) < 0)
        return -ENOMEM;
    return ssh_packet_send(c->session) == SSH_ERROR ? -EPIPE : 0;
}

const char *sshd_connection_error(sshd_connection *c) {
    return ssh_get_error(c->session);
}

static const char *or_empty(const char *text) {
    return text == NULL ? "" : text;
}

void sshd_connection_describe(sshd_connection *c, sshd_connection_info *info) {
    info->bytes_in = c->bytes_in;
    info->bytes_out = c->bytes_out;
    info->client_version = or_empty(c->session->clientbanner);
    info->kex = or_empty(ssh_get_kex_algo(c->session));
    info->cipher_in = or_empty(ssh_get_cipher_in(c->session));
    info->cipher_out = or_empty(ssh_get_cipher_out(c->session));
    info->mac_in = or_empty(ssh_get_hmac_in(c->session));
    info->mac_out = or_empty(ssh_get_hmac_out(c->session));
}

/* --- authentication --- */

static ssh_string string_of(const uint8_t *data, size_t length) {
    ssh_string string = ssh_string_new(length);

    if (string != NULL && ssh_string_fill(string, data, length) < 0) {
        ssh_string_free(string);
        string = NULL;
    }
    return string;
}

static int has_user_presence(ssh_key key, ssh_signature signature) {
    return !is_sk_key_type(key->type) || (signature->sk_flags & 0x01);
}

/* 1 when the signature over the session id and `payload` (RFC 4252 section 7) was made by the key in `blob`.
 * Certificates are refused: only their signature would be checked, neither authority nor validity. */
int sshd_connection_verify(sshd_connection *c, const uint8_t *payload, size_t signed_length,
                           const uint8_t *blob, size_t blob_length, const uint8_t *signature, size_t signature_length) {
    struct ssh_crypto_struct *crypto = c->session->current_crypto;
    ssh_string key_blob = string_of(blob, blob_length);
    ssh_string signature_blob = string_of(signature, signature_length);
    ssh_buffer data = ssh_buffer_new();
    ssh_signature parsed = NULL;
    ssh_key key = NULL;
    int rc = -ENOMEM;

    if (key_blob == NULL || signature_blob == NULL || data == NULL)
        goto end;
    rc = 0;
    if (crypto == NULL || ssh_pki_import_pubkey_blob(key_blob, &key) != SSH_OK || is_cert_type(key->type))
        goto end;
    if (ssh_pki_import_signature_blob(signature_blob, key, &parsed) != SSH_OK || !has_user_presence(key, parsed))
        goto end;
    if (ssh_buffer_pack(data, "dPP", (uint32_t)crypto->session_id_len, crypto->session_id_len, crypto->session_id,
                        signed_length, payload) != SSH_OK)
        goto end;
    rc = ssh_pki_signature_verify(c->session, parsed, key, ssh_buffer_get(data), ssh_buffer_get_len(data)) == SSH_OK;
end:
    ssh_signature_free(parsed);
    ssh_key_free(key);
    ssh_buffer_free(data);
    ssh_string_free(signature_blob);
    ssh_string_free(key_blob);
    return rc;
}

/* The blob of the host key this connection was set up with; its length, or a negative errno. */
int sshd_connection_host_key(sshd_connection *c, uint8_t *buffer, size_t size) {
    ssh_string blob = NULL;
    size_t length;
    int rc = -EINVAL;

    if (c->session->current_crypto == NULL || c->session->current_crypto->server_pubkey == NULL ||
        ssh_pki_export_pubkey_blob(c->session->current_crypto->server_pubkey, &blob) != SSH_OK)
        goto end;
    length = ssh_string_len(blob);
    rc = -ENOSPC;
    if (length > size)
        goto end;
    memcpy(buffer, ssh_string_data(blob), length);
    rc = (int)length;
end:
    ssh_string_free(blob);
    return rc;
}

int sshd_connection_authenticated(sshd_connection *c) {
    if (c->state != SSHD_OPEN || ssh_auth_reply_success(c->session, 0) == SSH_ERROR)
        return -EPIPE;
    c->authenticated = 1;
    return 0;
}

/* --- channels --- */

/* Confirms the opening; the number of our side, or -EBUSY when there are enough. */
int sshd_connection_open_channel(sshd_connection *c, uint32_t remote_id, uint32_t window, uint32_t max_packet) {
    sshd_channel *ch;
    int id = 0;

    if (!c->authenticated)
        return -EPERM;
    while (id < SSHD_CHANNELS && c->channels[id] != NULL)
        id++;
    if (id == SSHD_CHANNELS)
        return -EBUSY;
    ch = calloc(1, sizeof *ch);
    if (ch == NULL)
        return -ENOMEM;
    ch->remote_id = remote_id;
    ch->remote_window = window;
    ch->remote_packet_max = max_packet < SSHD_CHANNEL_PACKET_MAX ? max_packet : SSHD_CHANNEL_PACKET_MAX;
    ch->local_window = ch->window = SSHD_WINDOW_IDLE;
    c->channels[id] = ch;
    if (ssh_buffer_pack(c->session->out_buffer, "bdddd", SSH2_MSG_CHANNEL_OPEN_CONFIRMATION, remote_id, (uint32_t)id,
                        ch->local_window, (uint32_t)SSHD_CHANNEL_PACKET_MAX) != SSH_OK ||
        ssh_packet_send(c->session) == SSH_ERROR)
        return -EPIPE;
    return id;
}

static sshd_channel *channel_of(sshd_connection *c, uint32_t channel) {
    return channel < SSHD_CHANNELS ? c->channels[channel] : NULL;
}

int sshd_connection_start_sftp(sshd_connection *c, uint32_t channel, const uint8_t *ok, size_t ok_length,
                               const uint8_t *eof, size_t eof_length) {
    sshd_channel *ch = channel_of(c, channel);
    int rc;

    if (ch == NULL || ch->started)
        return -EINVAL;
    rc = sshd_sftp_init(&ch->sftp, ok, ok_length, eof, eof_length);
    ch->started = rc == 0;
    return rc;
}

int sshd_connection_remote_id(sshd_connection *c, uint32_t channel, uint32_t *remote_id) {
    sshd_channel *ch = channel_of(c, channel);

    if (ch == NULL || ch->close_sent)
        return -ENOENT;
    *remote_id = ch->remote_id;
    return 0;
}

/* Closes it once its replies are out; what still comes in is dropped. exit_status -1 sends none. */
int sshd_connection_finish_channel(sshd_connection *c, uint32_t channel, int exit_status) {
    sshd_channel *ch = channel_of(c, channel);

    if (ch == NULL)
        return -ENOENT;
    ch->finishing = 1;
    ch->exit_status = exit_status;
    sshd_sftp_done(&ch->sftp);
    sshd_buffer_release(&ch->sftp.in);
    return 0;
}

sshd_sftp *sshd_connection_sftp(sshd_connection *c, uint32_t channel) {
    sshd_channel *ch = channel_of(c, channel);
    return ch == NULL ? NULL : &ch->sftp;
}
