/* The socket and libssh's packet layer: bytes in, packets out, and the one wait. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"

#define RX_FIRST (8 * 1024)
#define RX_MOST (128 * 1024)

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

/* When this fails, of memory for one, libssh sends the packet as it is: in the clear. It must not, nor may a later one
 * follow as if nothing were missing, so nothing is left to send and the connection is over. NULL without keys is well. */
unsigned char *__real_ssh_packet_encrypt(ssh_session session, void *data, size_t length);
unsigned char *__wrap_ssh_packet_encrypt(ssh_session session, void *data, size_t length);
unsigned char *__wrap_ssh_packet_encrypt(ssh_session session, void *data, size_t length) {
    sshd_connection *c = sshd_connection_of(session);
    unsigned char *mac = NULL;

    if (!c->muted)
        mac = __real_ssh_packet_encrypt(session, data, length);
    if (mac == NULL && ssh_packet_get_current_crypto(session, SSH_DIRECTION_OUT) != NULL) {
        c->muted = 1;
        explicit_bzero(data, length);
        ssh_buffer_reinit(session->out_buffer);
        sshd_connection_break(c, ENOMEM);
    }
    return mac;
}

/* --- helpers --- */

sshd_connection *sshd_connection_of(ssh_session session) {
    return session->ssh_message_callback_data;
}

int64_t sshd_now(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SSHD_SECOND + now.tv_nsec;
}

int64_t sshd_seconds(double seconds) {
    return (int64_t)(seconds * (double)SSHD_SECOND);
}

size_t sshd_connection_unsent(sshd_connection *c) {
    return (size_t)ssh_socket_buffered_write_bytes(c->session->socket);
}

void sshd_connection_gone(sshd_connection *c, int error) {
    if (c->state == SSHD_OPEN) {
        c->state = SSHD_PEER_GONE;
        c->error = error;
    }
}

int sshd_connection_socket(sshd_connection *c) {
    return ssh_socket_get_fd(c->session->socket);
}

/* --- input --- */

static void give_up(sshd_connection *c, const char *why) {
    ssh_set_error(c->session, SSH_FATAL, "%s", why);
    sshd_connection_break(c, EPROTO);
}

/* Rule: who is not logged in is kept from filling memory and from keeping the processor busy. `used` bytes of the last
 * input were of use; what is left of it is the beginning of something. */
static void check_login_limits(sshd_connection *c, size_t used) {
    size_t left = sshd_buffer_length(&c->rx);

    if (c->version_most && c->session->clientbanner == NULL && c->bytes_in > c->version_most)
        give_up(c, "No version line where it should be");
    else if (c->packet_most && used == 0 && left > c->packet_most)
        give_up(c, "A packet before login is too large");
    else if (c->login_most && c->bytes_in - left > c->login_most)
        give_up(c, "Too many bytes before login");
}

void sshd_connection_login_limits(sshd_connection *c, uint64_t version, uint64_t packet, uint64_t all) {
    c->version_most = version;
    c->packet_most = packet;
    c->login_most = all;
}

int sshd_connection_feed(sshd_connection *c) {
    struct ssh_socket_callbacks_struct *up = &c->session->socket_callbacks;
    size_t length = sshd_buffer_length(&c->rx);
    size_t used;

    if (length == 0)
        return 0;
    used = up->data(sshd_buffer_head(&c->rx), length, up->userdata);
    sshd_buffer_consume(&c->rx, used);
    if (c->session->session_state == SSH_SESSION_STATE_ERROR || !ssh_socket_is_open(c->session->socket))
        sshd_connection_break(c, EPROTO);
    else if (!c->authenticated)
        check_login_limits(c, used);
    return used > 0;
}

/* The buffer grows while the socket keeps filling it, and beyond that only for one large packet. */
int sshd_connection_receive(sshd_connection *c) {
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
        n = recv(sshd_connection_socket(c), sshd_buffer_tail(&c->rx), sshd_buffer_room(&c->rx), 0);
    while (n < 0 && errno == EINTR);
    c->received_all = n < (ssize_t)sshd_buffer_room(&c->rx);
    if (n > 0) {
        c->rx.end += (size_t)n;
        c->bytes_in += (uint64_t)n;
        c->active = sshd_now();
        sshd_patience_received(c);
        c->rest_at = c->active + SSHD_REST_AFTER;
        c->trimmed = 0;
    } else if (n == 0) {
        sshd_connection_gone(c, 0);
    } else if (errno != EAGAIN) {
        sshd_connection_gone(c, errno);
    }
    return 0;
}

/* --- output --- */

void sshd_connection_send_out(sshd_connection *c) {
    size_t before = sshd_connection_unsent(c);
    size_t after;

    if (before == 0)
        return;
    ssh_socket_set_write_wontblock(c->session->socket);
    ssh_socket_nonblocking_flush(c->session->socket);
    if (!ssh_socket_is_open(c->session->socket)) {
        sshd_connection_gone(c, EPIPE);
        return;
    }
    after = sshd_connection_unsent(c);
    c->bytes_out += before - after;
}

int sshd_connection_flush(sshd_connection *c) {
    int rc = 0;

    for (int i = 0; i < SSHD_CHANNELS && rc == 0; i++) {
        if (c->channels[i] != NULL && c->state == SSHD_OPEN)
            rc = sshd_channel_pump(c, c->channels[i]);
    }
    if (rc == 0)
        sshd_connection_send_out(c);
    c->flushed = sshd_now();
    sshd_patience_sent(c);
    return rc;
}

int sshd_connection_owing(sshd_connection *c) {
    if (sshd_connection_unsent(c) > 0)
        return 1;
    for (int i = 0; i < SSHD_CHANNELS; i++) {
        if (c->channels[i] != NULL && sshd_buffer_length(&c->channels[i]->sftp.out) > 0)
            return 1;
    }
    return 0;
}

/* --- waiting --- */

int sshd_connection_hung_up(sshd_connection *c) {
    struct pollfd poller = {sshd_connection_socket(c), POLLRDHUP, 0};

    return c->state != SSHD_OPEN || (poll(&poller, 1, 0) > 0 && poller.revents != 0);
}

int sshd_connection_wait(sshd_connection *c, int64_t due, short events, int wake_too) {
    struct pollfd pollers[2] = {{sshd_connection_socket(c), events, 0}, {c->wake_fd, POLLIN, 0}};
    int64_t left = due ? due - sshd_now() : 0;
    struct timespec timeout;

    if (left < 0)
        left = 0;
    timeout.tv_sec = left / SSHD_SECOND;
    timeout.tv_nsec = left % SSHD_SECOND;
    if (ppoll(pollers, wake_too ? 2 : 1, due ? &timeout : NULL, NULL) < 0)
        return errno == EINTR ? 0 : -errno;
    return (pollers[0].revents ? 1 : 0) | (pollers[1].revents ? 2 : 0);
}
