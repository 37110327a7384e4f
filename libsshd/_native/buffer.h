/* A growable queue of bytes and a bounds-checked cursor. */
#ifndef SSHD_BUFFER_H
#define SSHD_BUFFER_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *data;
    size_t start; /* of what is not consumed */
    size_t end;
    size_t size;
} sshd_buffer;

int sshd_buffer_reserve(sshd_buffer *b, size_t count);
int sshd_buffer_append(sshd_buffer *b, const void *data, size_t length);
void sshd_buffer_consume(sshd_buffer *b, size_t count);
void sshd_buffer_release(sshd_buffer *b);

static inline size_t sshd_buffer_length(const sshd_buffer *b) { return b->end - b->start; }
static inline uint8_t *sshd_buffer_head(const sshd_buffer *b) { return b->data ? b->data + b->start : NULL; }
static inline uint8_t *sshd_buffer_tail(const sshd_buffer *b) { return b->data + b->end; } /* after a reserve */
static inline size_t sshd_buffer_room(const sshd_buffer *b) { return b->size - b->end; }

/* Rule: reads past the end give zero and set `bad`, which is tested once, after the last field. */
typedef struct {
    const uint8_t *at;
    size_t left;
    int bad;
} sshd_cursor;

uint32_t sshd_cursor_u32(sshd_cursor *c);
uint64_t sshd_cursor_u64(sshd_cursor *c);
const uint8_t *sshd_cursor_string(sshd_cursor *c, size_t *length);

static inline void sshd_put_u32(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)(value >> 24);
    to[1] = (uint8_t)(value >> 16);
    to[2] = (uint8_t)(value >> 8);
    to[3] = (uint8_t)value;
}

#endif
