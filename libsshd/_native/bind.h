#ifndef SSHD_BIND_H
#define SSHD_BIND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <libssh/libssh.h>
#include <libssh/server.h>

#include "native.h"

struct sshd_budget {
    _Atomic int64_t used;
    _Atomic int64_t most;
};

/* Whether there were so many bytes left, which are taken then. */
int sshd_budget_take(sshd_budget *b, int64_t bytes);
void sshd_budget_give(sshd_budget *b, int64_t bytes);

struct sshd_bind {
    ssh_bind bind;
    pthread_mutex_t lock;
    char *compression; /* libssh has a place for it in sessions only */
    sshd_budget *budget;
    _Atomic int64_t heap_trimmed;  /* when the allocator was last asked to give memory back */
};

/* Gives the descriptor to the session, with the keys and algorithms of the bind. */
int sshd_bind_accept(sshd_bind *b, ssh_session session, int fd);

#endif
