#include "buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST 512

/* Makes room for `count` bytes at the tail. What was consumed is reclaimed before memory grows. */
int sshd_buffer_reserve(sshd_buffer *b, size_t count) {
    size_t length = sshd_buffer_length(b);
    size_t size = b->size ? b->size : SMALLEST;
    uint8_t *data;

    if (b->size - b->end >= count)
        return 0;
    if (b->size - length >= count) {
        memmove(b->data, sshd_buffer_head(b), length);
        b->start = 0;
        b->end = length;
        return 0;
    }
    while (size - length < count)
        size *= 2;
    data = malloc(size);
    if (data == NULL)
        return -ENOMEM;
    if (length)
        memcpy(data, sshd_buffer_head(b), length);
    free(b->data);
    b->data = data;
    b->start = 0;
    b->end = length;
    b->size = size;
    return 0;
}

int sshd_buffer_append(sshd_buffer *b, const void *data, size_t length) {
    int rc = sshd_buffer_reserve(b, length);
    if (rc == 0 && length) {
        memcpy(sshd_buffer_tail(b), data, length);
        b->end += length;
    }
    return rc;
}

void sshd_buffer_consume(sshd_buffer *b, size_t count) {
    size_t length = sshd_buffer_length(b);
    b->start += count < length ? count : length;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void sshd_buffer_release(sshd_buffer *b) {
    free(b->data);
    memset(b, 0, sizeof *b);
}

uint32_t sshd_cursor_u32(sshd_cursor *c) {
    uint32_t value;
    if (c->bad || c->left < 4) {
        c->bad = 1;
        return 0;
    }
    value = (uint32_t)c->at[0] << 24 | (uint32_t)c->at[1] << 16 | (uint32_t)c->at[2] << 8 | c->at[3];
    c->at += 4;
    c->left -= 4;
    return value;
}

uint64_t sshd_cursor_u64(sshd_cursor *c) {
    uint64_t high = sshd_cursor_u32(c);
    return high << 32 | sshd_cursor_u32(c);
}

const uint8_t *sshd_cursor_string(sshd_cursor *c, size_t *length) {
    size_t count = sshd_cursor_u32(c);
    const uint8_t *string = c->at;
    *length = 0;
    if (c->bad || c->left < count) {
        c->bad = 1;
        return NULL;
    }
    c->at += count;
    c->left -= count;
    *length = count;
    return string;
}
