/* How long a peer may keep us waiting, and the question whether it still lives. */
#include <errno.h>

#include "connection.h"

void sshd_patience_received(sshd_connection *c) {
    c->patience.moved = c->patience.slept;
    c->patience.unanswered = 0;
}

/* Rule: a stall counts from an attempt to send that left something behind, never from the time a request took. */
void sshd_patience_sent(sshd_connection *c) {
    sshd_patience *p = &c->patience;
    int owing = sshd_connection_owing(c);

    if (c->bytes_out != p->left_mark) {
        if (p->owing)
            p->requested = p->slept; /* answers are being taken */
        p->left_mark = c->bytes_out;
        p->moved = p->left = p->slept;
    } else if (owing && !p->owing) {
        p->left = p->slept;
    }
    p->owing = owing;
}

/* The rest of its login, of an exchange of keys, or of a packet that has begun to arrive. */
static int owes_input(sshd_connection *c) {
    if (!c->authenticated || sshd_connection_exchanging(c) || sshd_buffer_length(&c->rx) > 0)
        return 1;
    for (int i = 0; i < SSHD_CHANNELS; i++) {
        sshd_channel *ch = c->channels[i];

        if (ch != NULL && ch->started && !ch->finishing && sshd_buffer_length(&ch->sftp.in) > 0)
            return 1;
    }
    return 0;
}

static int may_ask(sshd_connection *c) {
    return c->patience.alive_every && c->authenticated && !sshd_connection_exchanging(c);
}

/* Traffic of either kind puts the next question off, and so does the last one. */
static int64_t ask_at(const sshd_patience *p) {
    return (p->moved > p->alive_sent ? p->moved : p->alive_sent) + p->alive_every;
}

/* Rule: only requests of SFTP count, and answers taken; who does not take them is stalled, not idle. */
static int may_idle_out(sshd_connection *c) {
    return c->patience.idle_limit && c->authenticated && !c->patience.owing;
}

int sshd_patience_idle(sshd_connection *c) {
    return may_idle_out(c) && c->patience.slept - c->patience.requested >= c->patience.idle_limit;
}

int64_t sshd_patience_due(sshd_connection *c, int64_t now) {
    const sshd_patience *p = &c->patience;
    int64_t due = INT64_MAX;

    if (p->limit && p->owing)
        due = p->left + p->limit;
    if (p->limit && p->moved + p->limit < due && owes_input(c))
        due = p->moved + p->limit;
    if (may_ask(c) && ask_at(p) < due)
        due = ask_at(p);
    if (may_idle_out(c) && p->requested + p->idle_limit < due)
        due = p->requested + p->idle_limit;
    return due == INT64_MAX ? 0 : now + due - p->slept;
}

/* Any answer will do: what counts is that something arrives. */
static void ask(sshd_connection *c) {
    sshd_patience *p = &c->patience;

    if (p->unanswered_most && p->unanswered >= p->unanswered_most) {
        sshd_connection_gone(c, ETIMEDOUT);
        return;
    }
    p->unanswered++;
    p->alive_sent = p->slept;
    if (ssh_buffer_pack(c->session->out_buffer, "bsb", SSH2_MSG_GLOBAL_REQUEST, "keepalive@openssh.com", 1) != SSH_OK ||
        ssh_packet_send(c->session) == SSH_ERROR)
        sshd_connection_break(c, EIO);
}

int sshd_patience_over(sshd_connection *c) {
    const sshd_patience *p = &c->patience;

    if (may_ask(c) && p->slept >= ask_at(p))
        ask(c);
    if (p->limit == 0)
        return 0;
    if (p->owing && p->slept - p->left >= p->limit)
        return 1;
    return p->slept - p->moved >= p->limit && owes_input(c);
}

/* --- orders --- */

void sshd_connection_inactivity_limit(sshd_connection *c, double seconds) {
    c->patience.limit = seconds <= 0 ? 0 : sshd_seconds(seconds);
}

void sshd_connection_idle_limit(sshd_connection *c, double seconds) {
    c->patience.idle_limit = seconds <= 0 ? 0 : sshd_seconds(seconds);
}

void sshd_connection_keep_alive(sshd_connection *c, double seconds, uint32_t most) {
    c->patience.alive_every = seconds <= 0 ? 0 : sshd_seconds(seconds);
    c->patience.unanswered_most = most;
}
