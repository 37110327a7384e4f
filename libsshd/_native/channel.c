#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"

static sshd_channel *channel_get(sshd_connection *c, uint32_t id) {
    return id < SSHD_CHANNELS ? c->channels[id] : NULL;
}

/* --- windows --- */

/* Rule: what a window promises is taken from the budget of the server before, and given back with the channel. */
static void window_grow(sshd_connection *c, sshd_channel *ch) {
    int64_t more = SSHD_WINDOW_BUSY - SSHD_WINDOW_IDLE;

    if (ch->window != SSHD_WINDOW_IDLE || ch->sftp.consumed - ch->idle_mark <= SSHD_WINDOW_IDLE)
        return;
    ch->idle_mark = ch->sftp.consumed;
    if (sshd_budget_take(c->bind->budget, more))
        ch->window = SSHD_WINDOW_BUSY;
}

static void window_shrink(sshd_connection *c, sshd_channel *ch) {
    if (ch->window == SSHD_WINDOW_BUSY)
        sshd_budget_give(c->bind->budget, SSHD_WINDOW_BUSY - SSHD_WINDOW_IDLE);
    ch->window = SSHD_WINDOW_IDLE;
    ch->idle_mark = ch->sftp.consumed;
}

void sshd_channel_free(sshd_connection *c, sshd_channel *ch) {
    if (ch == NULL)
        return;
    window_shrink(c, ch);
    sshd_budget_give(c->bind->budget, SSHD_WINDOW_IDLE);
    sshd_sftp_release(&ch->sftp);
    free(ch);
}

void sshd_channel_rest(sshd_connection *c, sshd_channel *ch) {
    /* What the peer was granted it may still use: until then it stays on the budget. */
    if (ch->local_window <= SSHD_WINDOW_IDLE)
        window_shrink(c, ch);
    if (sshd_buffer_length(&ch->sftp.in) == 0)
        sshd_buffer_release(&ch->sftp.in);
    sshd_buffer_release(&ch->sftp.out); /* nothing is owed at rest */
}

/* --- what arrives --- */

static void receive_window(sshd_connection *c, sshd_channel *ch, sshd_cursor *p) {
    uint32_t more = sshd_cursor_u32(p);

    if (p->bad || more > UINT32_MAX - ch->remote_window) {
        sshd_connection_break(c, EPROTO);
        return;
    }
    ch->remote_window += more;
}

static void receive_data(sshd_connection *c, sshd_channel *ch, sshd_cursor *p, int extended) {
    size_t length;
    const uint8_t *data;

    if (extended)
        sshd_cursor_u32(p);
    data = sshd_cursor_string(p, &length);
    if (p->bad || length > ch->local_window || ch->eof_received) {
        sshd_connection_break(c, EPROTO);
        return;
    }
    ch->local_window -= (uint32_t)length;
    if (!extended && !ch->finishing && sshd_buffer_append(&ch->sftp.in, data, length) < 0)
        sshd_connection_break(c, ENOMEM);
}

void sshd_channel_receive(sshd_connection *c, uint8_t type, const uint8_t *payload, size_t length) {
    sshd_cursor p = {payload, length, 0};
    sshd_channel *ch = channel_get(c, sshd_cursor_u32(&p));

    if (p.bad || ch == NULL || ch->close_received) {
        sshd_connection_break(c, EPROTO);
        return;
    }
    switch (type) {
    case SSH2_MSG_CHANNEL_WINDOW_ADJUST:
        receive_window(c, ch, &p);
        break;
    case SSH2_MSG_CHANNEL_DATA:
    case SSH2_MSG_CHANNEL_EXTENDED_DATA:
        receive_data(c, ch, &p, type == SSH2_MSG_CHANNEL_EXTENDED_DATA);
        break;
    case SSH2_MSG_CHANNEL_EOF:
        ch->eof_received = 1;
        break;
    case SSH2_MSG_CHANNEL_CLOSE:
        /* Rule: what came before the CLOSE is still carried out, its replies have no reader. */
        ch->eof_received = ch->close_received = 1;
        c->channel_over |= ch->close_sent;
        ch->sftp.discard = 1;
        sshd_buffer_release(&ch->sftp.out);
        break;
    default: /* answers to channels and requests that a server never sends */
        sshd_connection_break(c, EPROTO);
    }
}

/* --- what leaves --- */

static int send_packed(sshd_connection *c, int packed) {
    return packed == SSH_OK && ssh_packet_send(c->session) != SSH_ERROR ? 0 : -EIO;
}

static int pump_data(sshd_connection *c, sshd_channel *ch) {
    sshd_buffer *out = &ch->sftp.out;
    int rc = 0;

    while (rc == 0 && sshd_buffer_length(out) > 0 && ch->remote_window > 0 &&
           sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT && !sshd_connection_exchanging(c)) {
        size_t length = sshd_buffer_length(out);

        if (length > ch->remote_window)
            length = ch->remote_window;
        if (length > ch->remote_packet_max)
            length = ch->remote_packet_max;
        rc = send_packed(c, ssh_buffer_pack(c->session->out_buffer, "bddP", SSH2_MSG_CHANNEL_DATA, ch->remote_id,
                                            (uint32_t)length, length, sshd_buffer_head(out)));
        if (rc == 0) {
            ch->remote_window -= (uint32_t)length;
            sshd_buffer_consume(out, length);
        }
    }
    return rc;
}

static int pump_window(sshd_connection *c, sshd_channel *ch) {
    int64_t more;

    if (ch->eof_received)
        return 0;
    window_grow(c, ch);
    more = (int64_t)ch->window - ch->local_window - (int64_t)sshd_buffer_length(&ch->sftp.in);
    if (more < ch->window / 4)
        return 0;
    ch->local_window += (uint32_t)more;
    return send_packed(c, ssh_buffer_pack(c->session->out_buffer, "bdd", SSH2_MSG_CHANNEL_WINDOW_ADJUST,
                                          ch->remote_id, (uint32_t)more));
}

static int pump_close(sshd_connection *c, sshd_channel *ch) {
    ssh_buffer packet = c->session->out_buffer;
    int rc = 0;

    if (!ch->finishing || ch->close_sent || sshd_buffer_length(&ch->sftp.out) > 0)
        return 0;
    ch->close_sent = 1;
    c->channel_over |= ch->close_received;
    if (!ch->close_received && ch->exit_status >= 0)
        rc = send_packed(c, ssh_buffer_pack(packet, "bdsbd", SSH2_MSG_CHANNEL_REQUEST, ch->remote_id, "exit-status", 0,
                                            (uint32_t)ch->exit_status));
    if (rc == 0 && !ch->close_received)
        rc = send_packed(c, ssh_buffer_pack(packet, "bd", SSH2_MSG_CHANNEL_EOF, ch->remote_id));
    if (rc == 0)
        rc = send_packed(c, ssh_buffer_pack(packet, "bd", SSH2_MSG_CHANNEL_CLOSE, ch->remote_id));
    return rc;
}

int sshd_channel_pump(sshd_connection *c, sshd_channel *ch) {
    int rc = 0;

    if (ch->close_sent || sshd_connection_exchanging(c))
        return 0;
    rc = pump_data(c, ch);
    if (rc == 0)
        rc = pump_window(c, ch);
    if (rc == 0 && !sshd_connection_exchanging(c))
        rc = pump_close(c, ch);
    return rc;
}

/* --- what Python asks for --- */

/* Confirms the opening; the number of our side, or -EBUSY when there are enough, -ENOBUFS when the budget is spent. */
int sshd_connection_open_channel(sshd_connection *c, uint32_t remote_id, uint32_t window, uint32_t max_packet) {
    sshd_channel *ch;
    int id = 0;

    if (!c->authenticated)
        return -EPERM;
    while (id < SSHD_CHANNELS && c->channels[id] != NULL)
        id++;
    if (id == SSHD_CHANNELS)
        return -EBUSY;
    if (!sshd_budget_take(c->bind->budget, SSHD_WINDOW_IDLE))
        return -ENOBUFS;
    ch = calloc(1, sizeof *ch);
    if (ch == NULL) {
        sshd_budget_give(c->bind->budget, SSHD_WINDOW_IDLE);
        return -ENOMEM;
    }
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

    if (ch == NULL || ch->started || ch->finishing)
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
    return &c->channels[channel]->sftp;
}
