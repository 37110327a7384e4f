#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MESSAGE_MAX (64 * 1024)
#define KEPT_BACK_MOST 1000
#define FAREWELL_MOST 255
#define BREATH_MOST (64 * 1024)
#define BREATH_LONGEST (SSHD_SECOND / 100)
#define READ_TIME (SSHD_SECOND / 20)
#define SERVE_BUDGET (256 * 1024)

/* --- helpers --- */

void sshd_connection_break(sshd_connection *c, int error) {
    if (c->state == SSHD_OPEN) {
        c->state = SSHD_BROKEN;
        c->error = error;
    }
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
    sshd_connection *c = user;
    sshd_cursor p = {ssh_buffer_get(packet), ssh_buffer_get_len(packet), 0};
    size_t length;
    const uint8_t *text;

    (void)session, (void)type;
    c->peer_reason = sshd_cursor_u32(&p);
    text = sshd_cursor_string(&p, &length);
    if (!p.bad) /* it is told, and missed by nobody when memory is short */
        sshd_buffer_append(&c->peer_text, text, length < FAREWELL_MOST ? length : FAREWELL_MOST);
    sshd_connection_gone(c, 0);
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

/* libssh reports here what it finds on the socket, and would forget why it gave the connection up before. */
static void on_socket_exception(int code, int error, void *user) {
    (void)code, (void)error, (void)user;
}

/* --- life --- */

sshd_connection *sshd_connection_new(sshd_bind *b, int fd, int strict) {
    sshd_connection *c = calloc(1, sizeof *c);
    int taken = 0;
    int error = ENOMEM;

    if (c == NULL)
        goto fail;
    c->bind = b;
    c->current = -1;
    c->exchanging = 1;
    c->strict = strict;
    c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    c->session = ssh_new();
    if (c->session == NULL)
        goto fail;
    if (c->wake_fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        error = errno;
        goto fail;
    }
    error = EIO;
    ssh_set_blocking(c->session, 0);
    ssh_set_message_callback(c->session, NULL, c); /* no callback, only the way from a session to us */
    taken = 1;
    if (sshd_bind_accept(b, c->session, fd) < 0) {
        taken = c->session->socket != NULL && ssh_socket_get_fd(c->session->socket) == fd;
        goto fail;
    }
    c->callbacks.start = 0;
    c->callbacks.n_callbacks = sizeof handlers / sizeof *handlers;
    c->callbacks.callbacks = (ssh_packet_callback *)handlers;
    c->callbacks.user = c;
    ssh_packet_set_callbacks(c->session, &c->callbacks);
    /* It cannot tell that memory was short; without ours, libssh would go by rules of its own. */
    if (c->session->packet_callbacks == NULL || ssh_list_find(c->session->packet_callbacks, &c->callbacks) == NULL) {
        error = ENOMEM;
        goto fail;
    }
    /* Answers to prompts come to on_message, also those that nobody asked for: libssh would end the connection. */
    c->session->auth.state = SSH_AUTH_STATE_INFO;
    if (ssh_handle_key_exchange(c->session) == SSH_ERROR)
        goto fail;
    c->session->socket_callbacks.exception = on_socket_exception;
    c->active = c->flushed = c->awake = sshd_now();
    c->read_time = READ_TIME;
    c->breath = BREATH_LONGEST;
    c->rest_at = c->active + SSHD_REST_AFTER;
    return c;
fail:
    if (!taken)
        close(fd);
    sshd_connection_free(c);
    errno = error;
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
    sshd_buffer_release(&c->peer_text);
    free(c);
}

/* --- waiting --- */

static int64_t nearest(int64_t a, int64_t b) {
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The next instant at which something is due, 0 for none. */
static int64_t next_due(sshd_connection *c, int64_t now) {
    int64_t due = nearest(c->deadline, sshd_patience_due(c, now));

    if (c->exchange_began)
        due = nearest(due, c->exchange_began + SSHD_EXCHANGE_LIMIT);
    if (!c->trimmed && c->authenticated)
        due = nearest(due, c->rest_at);
    return due;
}

static int event(sshd_event *e, int kind) {
    e->kind = kind;
    return 1;
}

static int overdue(sshd_connection *c, int64_t now, sshd_event *e) {
    if (c->deadline && now >= c->deadline) {
        c->deadline = 0;
        return event(e, SSHD_EVENT_DEADLINE);
    }
    if (sshd_patience_over(c))
        return event(e, SSHD_EVENT_STALLED);
    if (sshd_patience_idle(c))
        return event(e, SSHD_EVENT_IDLE);
    if (c->exchange_began && now >= c->exchange_began + SSHD_EXCHANGE_LIMIT)
        sshd_connection_break(c, ETIMEDOUT);
    if (!c->trimmed && c->authenticated && now >= c->rest_at)
        sshd_connection_rest(c);
    return 0;
}

/* The counter only ends the poll; what counts is the flag, which is set before it. */
static void drain_counter(sshd_connection *c) {
    uint64_t count;
    ssize_t n = read(c->wake_fd, &count, sizeof count);
    (void)n;
}

/* Rule: the only place where a connection's thread sleeps while it serves; the rest are the end and a failed login. */
static int wait_for_peer(sshd_connection *c) {
    size_t unsent = sshd_connection_unsent(c);
    short events = unsent > 0 ? POLLOUT : 0;
    int64_t began = sshd_now();
    int ready;

    if (unsent < SSHD_OUTPUT_LIMIT)
        events |= POLLIN;
    ready = sshd_connection_wait(c, next_due(c, began), events, 1);
    c->awake = sshd_now();
    c->patience.slept += c->awake - began;
    if (ready < 0)
        return ready;
    if (ready & 2)
        drain_counter(c);
    if (ready & 1) {
        if (unsent > 0)
            sshd_connection_send_out(c);
        if ((events & POLLIN) && c->state == SSHD_OPEN) {
            int rc = sshd_connection_receive(c);
            if (rc < 0)
                return rc;
        }
        if (!(events & POLLIN) && c->state == SSHD_OPEN && sshd_connection_unsent(c) == unsent)
            return sshd_connection_receive(c); /* an error or hang-up of the peer shows only in recv */
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
    uint64_t before = ch->sftp.consumed;
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
    if (ch->sftp.consumed != before || rc == SSHD_SERVE_EVENT)
        c->patience.requested = c->patience.slept;
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

/* The steps of the transport that Python may want to know of. */
static int report_transport(sshd_connection *c, sshd_event *e) {
    if (c->announces_banner && c->session->clientbanner != NULL) {
        c->announces_banner = 0;
        return event(e, SSHD_EVENT_BANNER);
    }
    if (sshd_exchange_ended(c)) {
        e->length = c->exchanges;
        return event(e, SSHD_EVENT_KEYS);
    }
    return 0;
}

/* What the last packet fed in has to tell; it may take several turns. */
static int report(sshd_connection *c, sshd_event *e) {
    if (c->channel_over && report_over(c, e))
        return 1;
    if (c->message_ready) {
        c->message_ready = 0;
        e->data = sshd_buffer_head(&c->message);
        e->length = sshd_buffer_length(&c->message);
        return event(e, SSHD_EVENT_MESSAGE);
    }
    return c->state == SSHD_OPEN ? report_transport(c, e) : 0;
}

/* Everything that is complete in the receive buffer, until Python is needed. */
static int take_input(sshd_connection *c, sshd_event *e) {
    do {
        if (report(c, e))
            return 1;
    } while (c->state == SSHD_OPEN && sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT && sshd_connection_feed(c));
    sshd_exchange_watch(c);
    return 0;
}

static int woken(sshd_connection *c, sshd_event *e) {
    return atomic_exchange(&c->woken, 0) ? event(e, SSHD_EVENT_WAKE) : 0;
}

/* However much one channel asks of Python: what is owed leaves, and what others sent is read, every few ms. */
static int breathe(sshd_connection *c, int64_t now) {
    int rc;

    if (c->state != SSHD_OPEN || now - c->flushed < c->breath)
        return 0;
    rc = sshd_connection_flush(c);
    /* Packets that wait already are enough: what they ask for may be slower to do than to send. */
    if (rc == 0 && c->state == SSHD_OPEN && sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT &&
        sshd_buffer_length(&c->rx) < BREATH_MOST)
        rc = sshd_connection_receive(c);
    return rc;
}

/* A connection that always has something to do leaves the processor to others from time to time. */
static void yield(sshd_connection *c, int64_t now) {
    if (c->read_time && now - c->awake >= c->read_time) {
        sched_yield();
        c->awake = now;
    }
}

static int step(sshd_connection *c, sshd_event *e) {
    int64_t now = sshd_now();
    int more = 0;
    int rc = woken(c, e);

    yield(c, now);
    if (rc == 0)
        rc = overdue(c, now, e);
    if (rc == 0)
        rc = report_over(c, e);
    if (rc == 0)
        rc = breathe(c, now);
    if (rc == 0)
        rc = take_input(c, e);
    if (rc == 0 && c->state == SSHD_OPEN)
        rc = serve(c, e, &more);
    if (rc != 0)
        return rc;
    rc = sshd_connection_flush(c);
    if (rc == 0)
        rc = sshd_exchange_due(c);
    sshd_exchange_watch(c);
    if (rc < 0 || c->state != SSHD_OPEN || more || c->channel_over)
        return rc;
    if (!c->received_all && sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT)
        return sshd_connection_receive(c);
    return wait_for_peer(c);
}

int sshd_connection_next(sshd_connection *c, const uint8_t *reply, size_t reply_length, sshd_event *e) {
    int rc = 0;

    memset(e, 0, sizeof *e);
    if (reply_length > 0 && c->current >= 0 && c->channels[c->current] != NULL)
        rc = sshd_sftp_reply(&c->channels[c->current]->sftp, reply, reply_length);
    c->current = -1;
    if (c->handed_over) {
        c->exchange_began += sshd_now() - c->handed_over;
        c->handed_over = 0;
    }
    while (rc == 0 && c->state == SSHD_OPEN)
        rc = step(c, e);
    if (rc > 0) {
        if (c->exchange_began)
            c->handed_over = sshd_now(); /* the peer may have answered long before a handler is through */
        return 0;
    }
    if (rc < 0)
        sshd_connection_break(c, -rc);
    e->kind = SSHD_EVENT_GONE;
    e->error = c->error;
    return 0;
}

/* --- orders --- */

void sshd_connection_read_time(sshd_connection *c, double seconds) {
    c->read_time = seconds <= 0 ? 0 : sshd_seconds(seconds);
    c->breath = c->read_time > 0 && c->read_time < BREATH_LONGEST ? c->read_time : BREATH_LONGEST;
}

void sshd_connection_wake(sshd_connection *c) {
    uint64_t one = 1;
    ssize_t n;

    atomic_store(&c->woken, 1);
    n = write(c->wake_fd, &one, sizeof one);
    (void)n; /* a full counter wakes as well */
}

void sshd_connection_announce_banner(sshd_connection *c) {
    c->announces_banner = 1;
}

void sshd_connection_deadline(sshd_connection *c, double seconds) {
    c->deadline = seconds < 0 ? 0 : sshd_now() + sshd_seconds(seconds);
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

uint32_t sshd_connection_farewell(sshd_connection *c, const uint8_t **text, size_t *length) {
    *text = sshd_buffer_head(&c->peer_text);
    *length = sshd_buffer_length(&c->peer_text);
    return c->peer_reason;
}

static const char *or_empty(const char *text) {
    return text == NULL ? "" : text;
}

void sshd_connection_describe(sshd_connection *c, sshd_connection_info *info) {
    struct ssh_crypto_struct *crypto = c->session->current_crypto;

    info->bytes_in = c->bytes_in;
    info->bytes_out = c->bytes_out;
    info->client_version = or_empty(c->session->clientbanner);
    info->kex = or_empty(ssh_get_kex_algo(c->session));
    info->cipher_in = or_empty(ssh_get_cipher_in(c->session));
    info->cipher_out = or_empty(ssh_get_cipher_out(c->session));
    info->mac_in = or_empty(ssh_get_hmac_in(c->session));
    info->mac_out = or_empty(ssh_get_hmac_out(c->session));
    info->compression_in = or_empty(crypto ? crypto->kex_methods[SSH_COMP_C_S] : NULL);
    info->compression_out = or_empty(crypto ? crypto->kex_methods[SSH_COMP_S_C] : NULL);
    info->strict_kex = c->exchanges > 0 && c->strict_kex;
}
