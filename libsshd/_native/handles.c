/* The handle table of one channel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sftp.h"

static int handle_is(const sshd_handle *h, const uint8_t *name, size_t length) {
    return h->length == length && memcmp(h->name, name, length) == 0;
}

/* Requests come in runs on one handle, so the last one is tried first. */
sshd_handle *sshd_handle_find(sshd_sftp *s, const uint8_t *name, size_t length) {
    if (s->last < s->handle_count && handle_is(s->handles[s->last], name, length))
        return s->handles[s->last];
    for (size_t i = 0; i < s->handle_count; i++) {
        if (handle_is(s->handles[i], name, length)) {
            s->last = i;
            return s->handles[i];
        }
    }
    return NULL;
}

int sshd_handle_insert(sshd_sftp *s, sshd_handle *h) {
    if (s->handle_count == s->handle_size) {
        size_t size = s->handle_size ? s->handle_size * 2 : 4;
        sshd_handle **handles = realloc(s->handles, size * sizeof *handles);
        if (handles == NULL)
            return -ENOMEM;
        s->handles = handles;
        s->handle_size = size;
    }
    s->last = s->handle_count;
    s->handles[s->handle_count++] = h;
    return 0;
}

sshd_handle *sshd_handle_take(sshd_sftp *s) {
    sshd_handle *h = s->handles[s->last];

    s->handles[s->last] = s->handles[--s->handle_count];
    return h;
}

/* Files that Python opened stay open: their descriptors belong to it. */
void sshd_handles_release(sshd_sftp *s) {
    for (size_t i = 0; i < s->handle_count; i++) {
        if (s->handles[i]->owned)
            close(s->handles[i]->fd);
        free(s->handles[i]);
    }
    free(s->handles);
    s->handles = NULL;
    s->handle_count = s->handle_size = 0;
}

/* --- orders --- */

static int order_add(sshd_sftp *s, const sshd_order *o) {
    sshd_handle *h;
    int rc;

    if (o->length == 0 || o->length > SSHD_HANDLE_NAME_MAX)
        return -EINVAL;
    if (sshd_handle_find(s, o->name, o->length) != NULL)
        return -EEXIST;
    h = calloc(1, sizeof *h + o->length);
    if (h == NULL)
        return -ENOMEM;
    h->fd = o->fd;
    h->access = o->access;
    h->stats = o->stats;
    h->length = o->length;
    memcpy(h->name, o->name, o->length);
    rc = sshd_handle_insert(s, h);
    if (rc < 0)
        free(h);
    return rc;
}

static int order_remove(sshd_sftp *s, const sshd_order *o) {
    if (o->length > SSHD_HANDLE_NAME_MAX || sshd_handle_find(s, o->name, o->length) == NULL)
        return -ENOENT;
    free(sshd_handle_take(s));
    return 0;
}

sshd_order *sshd_sftp_order(sshd_sftp *s) {
    return &s->order;
}

int sshd_sftp_obey(sshd_sftp *s) {
    int action = s->order.action;

    s->order.action = 0;
    if (action == SSHD_ORDER_ADD)
        return order_add(s, &s->order);
    return action == SSHD_ORDER_REMOVE ? order_remove(s, &s->order) : 0;
}

/* --- handles that change hands --- */

int sshd_sftp_adopt(sshd_sftp *s, const uint8_t *name, size_t length, sshd_adopted *out) {
    sshd_handle *h = sshd_handle_find(s, name, length);

    if (h == NULL || !h->owned)
        return -ENOENT;
    h->owned = 0;
    out->fd = h->fd;
    out->access = h->access;
    out->path = h->name + h->length;
    out->path_length = h->path_length;
    out->stats = h->stats;
    return 0;
}

/* Copies the name of one handle that C owns; its length, 0 when there is none. */
int sshd_sftp_owned(sshd_sftp *s, uint8_t *name, size_t size) {
    for (size_t i = 0; i < s->handle_count; i++) {
        if (s->handles[i]->owned && s->handles[i]->length <= size) {
            memcpy(name, s->handles[i]->name, s->handles[i]->length);
            return (int)s->handles[i]->length;
        }
    }
    return 0;
}
