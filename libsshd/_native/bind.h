#ifndef SSHD_BIND_H
#define SSHD_BIND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <libssh/libssh.h>
#include <libssh/server.h>

#include "native.h"

struct sshd_bind {
    ssh_bind bind;
    pthread_mutex_t lock;
    char *compression; /* libssh has a place for it in sessions only */
    _Atomic int64_t window_budget; /* bytes that large windows may still take */
    _Atomic int64_t heap_trimmed;  /* when the allocator was last asked to give memory back */
};

/* Gives the descriptor to the session, with the keys and algorithms of the bind. */
int sshd_bind_accept(sshd_bind *b, ssh_session session, int fd);

#endif
