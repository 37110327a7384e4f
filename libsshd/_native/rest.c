/* Rest: what a transfer made large is given back once the peer is quiet. */
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "connection.h"

#define STACK_KEPT 4096 /* below the frame that gives the rest back: room for its own calls */
#define TRIM_WORTH (1024 * 1024)

static void renew_socket(sshd_connection *c) {
    ssh_socket old = c->session->socket;
    ssh_socket fresh = ssh_socket_new(c->session);
    int fd = ssh_socket_get_fd(old);

    if (fresh == NULL)
        return;
    if (ssh_socket_set_fd(fresh, fd) != SSH_OK) {
        ssh_socket_reset(fresh);
        ssh_socket_free(fresh);
        return;
    }
    ssh_socket_set_connected(fresh, ssh_socket_get_poll_handle(fresh));
    ssh_socket_set_callbacks(fresh, &c->session->socket_callbacks);
    ssh_socket_reset(old); /* forgets the descriptor without closing it */
    ssh_socket_free(old);
    c->session->socket = fresh;
}

static void renew_buffer(ssh_buffer *buffer) {
    ssh_buffer fresh = ssh_buffer_new();

    if (fresh == NULL)
        return;
    ssh_buffer_free(*buffer);
    *buffer = fresh;
}

/* The key exchange and Python reach deep into the stack once; the pages below this frame hold nothing any more. */
static __attribute__((noinline)) void renew_stack(void) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    pthread_attr_t attributes;
    uintptr_t from, to;
    size_t size, guard;
    void *low;

    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_getguardsize(&attributes, &guard);
    pthread_attr_destroy(&attributes);
    from = (uintptr_t)low + guard + page;
    to = (here - STACK_KEPT) & ~(page - 1);
    if (here - (uintptr_t)low <= size && from < to) /* not when somebody has put us on a stack of their own */
        madvise((void *)from, to - from, MADV_DONTNEED);
}

/* After a transfer the allocator keeps what was freed. It looks at every arena, so one asks for all: not when another has
 * since our peer was last heard, five seconds ago, or is just about to. */
static void renew_heap(sshd_connection *c) {
    int64_t last = atomic_load(&c->bind->heap_trimmed);

    if (c->bytes_in + c->bytes_out - c->bytes_at_rest < TRIM_WORTH || last > c->active)
        return;
    if (!atomic_compare_exchange_strong(&c->bind->heap_trimmed, &last, sshd_now()))
        return;
    c->bytes_at_rest = c->bytes_in + c->bytes_out;
    malloc_trim(0);
}

void sshd_connection_rest(sshd_connection *c) {
    c->trimmed = 1;
    if (sshd_connection_owing(c) || sshd_buffer_length(&c->rx) > 0)
        return;
    for (int i = 0; i < SSHD_CHANNELS; i++) {
        if (c->channels[i] != NULL)
            sshd_channel_rest(c, c->channels[i]);
    }
    sshd_buffer_release(&c->rx);
    sshd_buffer_release(&c->message);
    renew_buffer(&c->session->in_buffer);
    renew_buffer(&c->session->out_buffer);
    renew_socket(c);
    renew_stack();
    renew_heap(c);
}
