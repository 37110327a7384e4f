/* OPEN and CLOSE of version 3 without Python, when nobody watches and nothing is unusual about them.
 *
 * Rule: whatever is not plainly in order is left to Python, which has the only say on errors: an OPEN that fails here
 * is simply tried again there. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sftp.h"

#define PATH_SIZE 4096
#define NUMBER_SIZE 24
#define FILE_MODE 0666
#define MODE_BITS 07777
#define PFLAG_READ 0x01
#define PFLAG_WRITE 0x02
#define PFLAGS 0x3f

enum { FXP_HANDLE = 102 };
enum { ATTR_SIZE = 1, ATTR_UIDGID = 2, ATTR_PERMISSIONS = 4, ATTR_ACMODTIME = 8, ATTR_KNOWN = 15 };

typedef struct {
    uint32_t request_id;
    char path[PATH_SIZE];
    size_t path_length;
    uint32_t pflags;
    uint32_t mode;
} open_request;

/* Absolute and normalised already: what serve/session would make of it is itself. */
static int path_is_plain(const uint8_t *path, size_t length) {
    if (length == 0 || length >= PATH_SIZE || path[0] != '/' || (length > 1 && path[length - 1] == '/'))
        return 0;
    if (memchr(path, 0, length) != NULL)
        return 0;
    for (size_t i = 0; i + 1 < length; i++) {
        if (path[i] == '/' && (path[i + 1] == '/' || path[i + 1] == '.'))
            return 0;
    }
    return 1;
}

static uint32_t mode_of(sshd_cursor *c) {
    uint32_t known = sshd_cursor_u32(c);
    uint32_t mode = FILE_MODE;

    if (known & ~(uint32_t)ATTR_KNOWN)
        c->bad = 1;
    if (known & ATTR_SIZE)
        sshd_cursor_u64(c);
    if (known & ATTR_UIDGID)
        sshd_cursor_u64(c);
    if (known & ATTR_PERMISSIONS)
        mode = sshd_cursor_u32(c) & MODE_BITS;
    if (known & ATTR_ACMODTIME)
        sshd_cursor_u64(c);
    return mode;
}

static int open_parse(open_request *r, const uint8_t *payload, size_t length) {
    sshd_cursor c = {payload, length, 0};
    const uint8_t *path;

    r->request_id = sshd_cursor_u32(&c);
    path = sshd_cursor_string(&c, &r->path_length);
    r->pflags = sshd_cursor_u32(&c);
    r->mode = mode_of(&c);
    if (c.bad || r->pflags & ~(uint32_t)PFLAGS || !path_is_plain(path, r->path_length))
        return 0;
    memcpy(r->path, path, r->path_length);
    r->path[r->path_length] = 0;
    return 1;
}

/* Handlers may have named a handle as the next number would be. */
static int number_is_taken(sshd_sftp *s, uint64_t number) {
    char name[NUMBER_SIZE];
    int length = snprintf(name, sizeof name, "%" PRIu64, number);

    return sshd_handle_find(s, (const uint8_t *)name, (size_t)length) != NULL;
}

static sshd_handle *handle_new(const open_request *r, int fd, uint64_t number) {
    char name[NUMBER_SIZE];
    size_t length = (size_t)snprintf(name, sizeof name, "%" PRIu64, number);
    sshd_handle *h = calloc(1, sizeof *h + length + r->path_length);

    if (h == NULL)
        return NULL;
    h->fd = fd;
    h->owned = 1;
    h->access = r->pflags & PFLAG_WRITE ? SSHD_HANDLE_WRITE : SSHD_HANDLE_READ;
    if (r->pflags & PFLAG_READ)
        h->access |= SSHD_HANDLE_READ;
    h->stats = &h->own_stats;
    h->length = length;
    h->path_length = r->path_length;
    memcpy(h->name, name, length);
    memcpy(h->name + length, r->path, r->path_length);
    return h;
}

static int reply_handle(sshd_sftp *s, uint32_t request_id, const sshd_handle *h) {
    uint8_t packet[13 + NUMBER_SIZE];

    sshd_put_u32(packet, (uint32_t)h->length + 9);
    packet[4] = FXP_HANDLE;
    sshd_put_u32(packet + 5, request_id);
    sshd_put_u32(packet + 9, (uint32_t)h->length);
    memcpy(packet + 13, h->name, h->length);
    return sshd_sftp_reply(s, packet, 13 + h->length);
}

int sshd_hot_open(sshd_sftp *s, const uint8_t *payload, size_t length) {
    sshd_files *f = &s->files;
    sshd_handle *h = NULL;
    open_request r;
    int fd, rc;

    if (f->root < 0 || f->open >= f->most || f->connection->open >= f->connection->most ||
        !open_parse(&r, payload, length) || f->flags[r.pflags] < 0 || number_is_taken(s, f->connection->made + 1))
        return SSHD_HOT_LEFT_TO_PYTHON;
    fd = sshd_path_open(f->root, r.path, (uint64_t)f->flags[r.pflags], r.mode, f->walk ? SSHD_RULE_WALK : 0);
    if (fd < 0)
        return SSHD_HOT_LEFT_TO_PYTHON;
    rc = -ENOMEM;
    h = handle_new(&r, fd, ++f->connection->made);
    if (h == NULL || (rc = sshd_handle_insert(s, h)) < 0)
        goto fail;
    f->open++;
    f->connection->open++;
    return reply_handle(s, r.request_id, h);
fail:
    free(h);
    close(fd);
    return rc;
}

int sshd_hot_close(sshd_sftp *s, const uint8_t *payload, size_t length, sshd_event *e) {
    sshd_cursor c = {payload, length, 0};
    uint32_t request_id = sshd_cursor_u32(&c);
    size_t name_length;
    const uint8_t *name = sshd_cursor_string(&c, &name_length);
    sshd_handle *h;
    int rc;

    if (c.bad || (h = sshd_handle_find(s, name, name_length)) == NULL || !h->owned || h->stats->error)
        return SSHD_HOT_LEFT_TO_PYTHON;
    sshd_handle_take(s);
    s->files.open--;
    s->files.connection->open--;
    rc = close(h->fd);
    free(h);
    if (rc < 0)
        return sshd_hot_fail(e, request_id, errno, SSHD_HANDLE_CLOSE, name, name_length);
    return sshd_hot_status(s, s->ok, s->ok_length, request_id);
}

sshd_files *sshd_sftp_files(sshd_sftp *s) {
    return &s->files;
}
