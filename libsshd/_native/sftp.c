#include "sftp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FXP_OPEN = 3, FXP_CLOSE = 4, FXP_READ = 5, FXP_WRITE = 6, FXP_DATA = 103 };

static int status_template(uint8_t *to, size_t *to_length, const uint8_t *from, size_t length) {
    if (length < 9 || length > SSHD_STATUS_MAX)
        return -EINVAL;
    memcpy(to, from, length);
    *to_length = length;
    return 0;
}

int sshd_sftp_init(sshd_sftp *s, const uint8_t *ok, size_t ok_length, const uint8_t *eof, size_t eof_length) {
    s->files.root = -1;
    return sshd_sftp_stock(s, ok, ok_length, eof, eof_length);
}

int sshd_sftp_stock(sshd_sftp *s, const uint8_t *ok, size_t ok_length, const uint8_t *eof, size_t eof_length) {
    int rc = status_template(s->ok, &s->ok_length, ok, ok_length);

    return rc < 0 ? rc : status_template(s->eof, &s->eof_length, eof, eof_length);
}

void sshd_sftp_release(sshd_sftp *s) {
    sshd_handles_release(s);
    sshd_buffer_release(&s->in);
    sshd_buffer_release(&s->out);
}

int sshd_sftp_watch(sshd_sftp *s, int mask) {
    return atomic_exchange(&s->watch, mask);
}

int sshd_sftp_reply(sshd_sftp *s, const uint8_t *packet, size_t length) {
    return s->discard ? 0 : sshd_buffer_append(&s->out, packet, length);
}

int sshd_hot_status(sshd_sftp *s, const uint8_t *packet, size_t length, uint32_t request_id) {
    int rc = 0;

    if (!s->discard) {
        rc = sshd_buffer_append(&s->out, packet, length);
        if (rc == 0)
            sshd_put_u32(sshd_buffer_tail(&s->out) - length + 5, request_id);
    }
    return rc;
}

int sshd_hot_fail(sshd_event *e, uint32_t request_id, int error, int operation, const uint8_t *handle, size_t length) {
    e->kind = SSHD_EVENT_FAILED;
    e->request_id = request_id;
    e->error = error;
    e->operation = operation;
    e->data = handle;
    e->length = length;
    return SSHD_HOT_FAILED;
}

static int serve_read(sshd_sftp *s, const uint8_t *payload, size_t length, sshd_event *e) {
    sshd_cursor c = {payload, length, 0};
    uint32_t request_id = sshd_cursor_u32(&c);
    size_t name_length;
    const uint8_t *name = sshd_cursor_string(&c, &name_length);
    uint64_t offset = sshd_cursor_u64(&c);
    size_t count = sshd_cursor_u32(&c);
    sshd_handle *h;
    uint8_t *reply;
    ssize_t n;
    int rc;

    if (c.bad || (h = sshd_handle_find(s, name, name_length)) == NULL || !(h->access & SSHD_HANDLE_READ))
        return SSHD_HOT_LEFT_TO_PYTHON;
    if (count > SSHD_DATA_MAX)
        count = SSHD_DATA_MAX;
    if (offset > (uint64_t)INT64_MAX - count)
        return SSHD_HOT_LEFT_TO_PYTHON;
    if (s->discard)
        return SSHD_HOT_ANSWERED;
    rc = sshd_buffer_reserve(&s->out, count + 13);
    if (rc < 0)
        return rc;
    reply = sshd_buffer_tail(&s->out);
    do
        n = pread(h->fd, reply + 13, count, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return sshd_hot_fail(e, request_id, errno, SSHD_HANDLE_READ, name, name_length);
    if (n == 0)
        return sshd_hot_status(s, s->eof, s->eof_length, request_id);
    sshd_put_u32(reply, (uint32_t)n + 9);
    reply[4] = FXP_DATA;
    sshd_put_u32(reply + 5, request_id);
    sshd_put_u32(reply + 9, (uint32_t)n);
    s->out.end += (size_t)n + 13;
    h->stats->bytes_read += (uint64_t)n;
    return SSHD_HOT_ANSWERED;
}

/* 0 or the errno that stopped it; what was written before counts all the same. */
static int write_all(sshd_handle *h, const uint8_t *data, size_t length, uint64_t offset) {
    while (length > 0) {
        ssize_t n = pwrite(h->fd, data, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        h->stats->bytes_written += (uint64_t)n;
        data += n;
        length -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int serve_write(sshd_sftp *s, const uint8_t *payload, size_t length, sshd_event *e) {
    sshd_cursor c = {payload, length, 0};
    uint32_t request_id = sshd_cursor_u32(&c);
    size_t name_length, count;
    const uint8_t *name = sshd_cursor_string(&c, &name_length);
    uint64_t offset = sshd_cursor_u64(&c);
    const uint8_t *data = sshd_cursor_string(&c, &count);
    sshd_handle *h;
    int error;

    if (c.bad || (h = sshd_handle_find(s, name, name_length)) == NULL || !(h->access & SSHD_HANDLE_WRITE) ||
        offset > (uint64_t)INT64_MAX - count)
        return SSHD_HOT_LEFT_TO_PYTHON;
    error = write_all(h, data, count, offset);
    if (error) {
        if (h->stats->error == 0)
            h->stats->error = error;
        return sshd_hot_fail(e, request_id, error, SSHD_HANDLE_WRITE, name, name_length);
    }
    return sshd_hot_status(s, s->ok, s->ok_length, request_id);
}

static int serve_hot(sshd_sftp *s, const uint8_t *packet, size_t length, sshd_event *e) {
    int watch = atomic_load_explicit(&s->watch, memory_order_relaxed);

    switch (packet[0]) {
    case FXP_READ:
        return watch & SSHD_WATCH_READ ? SSHD_HOT_LEFT_TO_PYTHON : serve_read(s, packet + 1, length - 1, e);
    case FXP_WRITE:
        return watch & SSHD_WATCH_WRITE ? SSHD_HOT_LEFT_TO_PYTHON : serve_write(s, packet + 1, length - 1, e);
    case FXP_OPEN:
        return watch & SSHD_WATCH_OPEN ? SSHD_HOT_LEFT_TO_PYTHON : sshd_hot_open(s, packet + 1, length - 1);
    case FXP_CLOSE:
        return watch & SSHD_WATCH_CLOSE ? SSHD_HOT_LEFT_TO_PYTHON : sshd_hot_close(s, packet + 1, length - 1, e);
    default:
        return SSHD_HOT_LEFT_TO_PYTHON;
    }
}

/* Gives back the packet that the last event showed. */
void sshd_sftp_done(sshd_sftp *s) {
    sshd_buffer_consume(&s->in, s->taken);
    s->consumed += s->taken;
    s->taken = 0;
}

int sshd_sftp_serve(sshd_sftp *s, size_t budget, sshd_event *e) {
    uint64_t limit = s->consumed + budget;
    int obeyed = sshd_sftp_obey(s);

    sshd_sftp_done(s);
    if (obeyed < 0)
        return obeyed;
    for (;;) {
        sshd_cursor c = {sshd_buffer_head(&s->in), sshd_buffer_length(&s->in), 0};
        uint32_t length = sshd_cursor_u32(&c);
        int rc;

        if (c.bad)
            return SSHD_SERVE_IDLE;
        if (length == 0 || length > SSHD_PACKET_MAX) {
            e->kind = SSHD_EVENT_BAD_FRAME;
            e->length = length;
            return SSHD_SERVE_EVENT;
        }
        if (c.left < length)
            return SSHD_SERVE_IDLE;
        if (sshd_buffer_length(&s->out) >= SSHD_BATCH || s->consumed >= limit)
            return SSHD_SERVE_FULL;
        s->taken = (size_t)length + 4;
        rc = serve_hot(s, c.at, length, e);
        if (rc < 0)
            return rc;
        if (rc == SSHD_HOT_FAILED)
            return SSHD_SERVE_EVENT;
        if (rc == SSHD_HOT_LEFT_TO_PYTHON) {
            e->kind = SSHD_EVENT_PACKET;
            e->data = c.at;
            e->length = length;
            return SSHD_SERVE_EVENT;
        }
        sshd_sftp_done(s);
    }
}
