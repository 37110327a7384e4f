/* The end of a connection, from our side. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "connection.h"

#define FLUSH_LIMIT (2 * SSHD_SECOND)
#define LINGER_LIMIT (1 * SSHD_SECOND)

/* Sends what is owed; the peer's packets are read on, for they open its windows. */
static void close_flush(sshd_connection *c, int64_t due) {
    while (sshd_connection_flush(c) == 0 && c->state == SSHD_OPEN && sshd_connection_owing(c) && sshd_now() < due) {
        int full = sshd_connection_unsent(c) >= SSHD_OUTPUT_LIMIT;
        short events = (short)((full ? 0 : POLLIN) | (sshd_connection_unsent(c) ? POLLOUT : 0));

        if (sshd_connection_wait(c, due, events, 0) < 0 || (!full && sshd_connection_receive(c) < 0))
            return;
        while (c->state == SSHD_OPEN && sshd_connection_unsent(c) < SSHD_OUTPUT_LIMIT && sshd_connection_feed(c))
            c->message_ready = 0;
    }
}

static void close_linger(sshd_connection *c) {
    int64_t due = sshd_now() + LINGER_LIMIT;
    uint8_t sink[4096];

    while (ssh_socket_is_open(c->session->socket) && sshd_now() < due && sshd_connection_wait(c, due, POLLIN, 0) >= 0) {
        ssize_t n = recv(sshd_connection_socket(c), sink, sizeof sink, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return;
    }
}

void sshd_connection_say_why(sshd_connection *c, int reason, const char *text, size_t length) {
    ssh_buffer_reinit(c->session->out_buffer);
    if (ssh_buffer_pack(c->session->out_buffer, "bddPs", SSH2_MSG_DISCONNECT, (uint32_t)reason, (uint32_t)length, length,
                        text, "") == SSH_OK)
        ssh_packet_send(c->session);
    sshd_connection_send_out(c);
}

/* Ends the connection from our side so that nothing owed to the client is lost: RFC 4253 section 11.1. */
int sshd_connection_close(sshd_connection *c, int reason, const char *text, size_t length) {
    int64_t due = sshd_now() + FLUSH_LIMIT;

    if (c->state == SSHD_PEER_GONE || !ssh_socket_is_open(c->session->socket))
        return 0;
    close_flush(c, due);
    if (c->state == SSHD_PEER_GONE || !ssh_socket_is_open(c->session->socket))
        return 0;
    sshd_connection_say_why(c, reason, text, length);
    while (c->state != SSHD_PEER_GONE && ssh_socket_is_open(c->session->socket) && sshd_connection_unsent(c) > 0 &&
           sshd_now() < due && sshd_connection_wait(c, due, POLLOUT, 0) >= 0)
        sshd_connection_send_out(c);
    if (ssh_socket_is_open(c->session->socket) && shutdown(sshd_connection_socket(c), SHUT_WR) == 0)
        close_linger(c);
    return 0;
}

/* The parent's connection carries on: only this process's copies of the descriptors go. Should the thread be here that
 * serves it, because it was the one that forked, it finds the connection over. */
void sshd_connection_abandon(sshd_connection *c) {
    close(sshd_connection_socket(c));
    ssh_socket_set_fd(c->session->socket, SSH_INVALID_SOCKET);
    close(c->wake_fd);
    c->wake_fd = -1;
    sshd_connection_gone(c, 0);
}
