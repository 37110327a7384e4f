/* The engine over a pair of descriptors: stdin and stdout of a subsystem, a socket pair of a test. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sftp.h"

#define PIPE_READ (128 * 1024)

struct sshd_pipe {
    sshd_sftp sftp;
    int input;
    int output;
    int wake;
    int ended;
};

sshd_pipe *sshd_pipe_new(int input, int output, const uint8_t *ok, size_t ok_length, const uint8_t *eof, size_t eof_length) {
    sshd_pipe *p = calloc(1, sizeof *p);

    if (p == NULL)
        return NULL;
    p->input = input;
    p->output = output;
    p->wake = -1;
    if (sshd_sftp_init(&p->sftp, ok, ok_length, eof, eof_length) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

void sshd_pipe_free(sshd_pipe *p) {
    sshd_sftp_release(&p->sftp);
    free(p);
}

sshd_sftp *sshd_pipe_sftp(sshd_pipe *p) {
    return &p->sftp;
}

void sshd_pipe_wake_by(sshd_pipe *p, int wake) {
    p->wake = wake;
}

static int wait_for(int fd, short events) {
    struct pollfd poller = {fd, events, 0};
    return poll(&poller, 1, -1) < 0 ? -errno : 0;
}

/* The descriptors may be non-blocking: input and output can be one socket that somebody else made so.
 * A signal is -EINTR, so that its handler in Python can run; nothing is lost if the call is made again. */
int sshd_pipe_flush(sshd_pipe *p) {
    sshd_buffer *out = &p->sftp.out;

    while (sshd_buffer_length(out) > 0) {
        ssize_t n = write(p->output, sshd_buffer_head(out), sshd_buffer_length(out));
        if (n >= 0) {
            sshd_buffer_consume(out, (size_t)n);
        } else if (errno == EAGAIN) {
            int rc = wait_for(p->output, POLLOUT);
            if (rc < 0)
                return rc;
        } else {
            return -errno;
        }
    }
    return 0;
}

/* The end of the input says nothing: all requests may be sent before the first reply is read. */
int sshd_pipe_hung_up(sshd_pipe *p) {
    struct pollfd poller = {p->output, 0, 0};

    return poll(&poller, 1, 0) > 0 && (poller.revents & (POLLERR | POLLHUP)) != 0;
}

/* 1 when there is something to read from `wake`. Without this, a signal just before a read would wait as long as it. */
static int pipe_woken(const sshd_pipe *p) {
    struct pollfd pollers[] = {{p->input, POLLIN, 0}, {p->wake, POLLIN, 0}};

    if (p->wake < 0)
        return 0;
    if (poll(pollers, 2, -1) < 0)
        return -errno;
    return pollers[1].revents != 0;
}

static int pipe_fill(sshd_pipe *p) {
    sshd_buffer *in = &p->sftp.in;
    int rc = sshd_buffer_reserve(in, PIPE_READ);

    while (rc == 0) {
        ssize_t n = read(p->input, sshd_buffer_tail(in), sshd_buffer_room(in));
        if (n > 0) {
            in->end += (size_t)n;
            return 0;
        }
        if (n == 0) {
            p->ended = 1;
            return 0;
        }
        rc = errno == EAGAIN ? wait_for(p->input, POLLIN) : -errno;
    }
    return rc;
}

int sshd_pipe_next(sshd_pipe *p, const uint8_t *reply, size_t reply_length, sshd_event *e) {
    int rc = sshd_sftp_reply(&p->sftp, reply, reply_length);
    int served;

    memset(e, 0, sizeof *e);
    while (rc >= 0) {
        rc = served = sshd_sftp_serve(&p->sftp, SIZE_MAX / 2, e);
        if (served < 0 || served == SSHD_SERVE_EVENT)
            break;
        if (p->ended && served == SSHD_SERVE_IDLE) {
            e->kind = SSHD_EVENT_EOF;
            e->length = sshd_buffer_length(&p->sftp.in);
            break;
        }
        rc = sshd_pipe_flush(p);
        if (rc < 0 || served != SSHD_SERVE_IDLE)
            continue;
        rc = pipe_woken(p);
        if (rc > 0) {
            e->kind = SSHD_EVENT_WAKE;
            break;
        }
        if (rc == 0)
            rc = pipe_fill(p);
    }
    return rc < 0 ? rc : 0;
}
