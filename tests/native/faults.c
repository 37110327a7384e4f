/* Calls that fail when a test says so. Only in test builds of the core (LIBSSHD_COVERAGE, LIBSSHD_SANITIZE), where the
 * linker leads the calls of our C and of libssh through here. What is still allocated is counted too, to find leaks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define CALL_MAX 32
#define SLOTS (1 << 16)

/* --- what fails --- */

static _Thread_local char armed[CALL_MAX];
static _Thread_local long left;
static _Thread_local int with;
static _Thread_local int fired;

void sshd_fault_arm(const char *call, long nth, int error);
int sshd_fault_fired(void);
void sshd_fault_track(void);
long sshd_fault_live(void);

/* The nth `call` of this thread from now on fails with `error`, once; 0 makes it return 0, "" disarms.
 * "memory" is malloc, calloc, realloc, strdup and strndup. */
EXPORT void sshd_fault_arm(const char *call, long nth, int error) {
    strncpy(armed, call, sizeof armed - 1);
    left = nth;
    with = error;
    fired = 0;
}

/* Whether it has come to that since it was armed. */
EXPORT int sshd_fault_fired(void) {
    return fired;
}

static int fails(const char *call) {
    if (left == 0 || strcmp(armed, call) != 0 || --left > 0)
        return 0;
    fired = 1;
    errno = with;
    return 1;
}

#define FAULTY(type, name, parameters, arguments)                                                                      \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters {                                                                                    \
        return fails(#name) ? (type)(with ? -1 : 0) : __real_##name arguments;                                         \
    }

FAULTY(int, close, (int fd), (fd))
FAULTY(int, eventfd, (unsigned value, int flags), (value, flags))
FAULTY(int, fstat, (int fd, struct stat *st), (fd, st))
FAULTY(int, fstatat, (int fd, const char *name, struct stat *st, int flags), (fd, name, st, flags))
FAULTY(int, fstatfs, (int fd, struct statfs *fs), (fd, fs))
FAULTY(int, ftruncate, (int fd, off_t size), (fd, size))
FAULTY(int, malloc_trim, (size_t pad), (pad))
FAULTY(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
FAULTY(int, ppoll, (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask), (fds, count, timeout, mask))
FAULTY(int, pthread_getattr_np, (pthread_t thread, pthread_attr_t *attributes), (thread, attributes))
FAULTY(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
FAULTY(int, shutdown, (int fd, int how), (fd, how))
FAULTY(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
FAULTY(ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
FAULTY(ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
FAULTY(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
FAULTY(ssize_t, readlinkat, (int fd, const char *name, char *to, size_t size), (fd, name, to, size))
FAULTY(ssize_t, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
FAULTY(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))

/* --- counters --- */

#ifdef COUNTED
void __gcov_dump(void);
#endif
void sshd_fault_dump(void);

/* Writes out what has been counted: a process that ends by _exit(2) does not. */
EXPORT void sshd_fault_dump(void) {
#ifdef COUNTED
    __gcov_dump();
#endif
}

/* --- memory --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *blocks[SLOTS];
static long live;
static int tracking;

static size_t slot_of(const void *block) {
    size_t at = ((uintptr_t)block >> 4) * 0x9E3779B97F4A7C15u >> 48;

    while (blocks[at] != NULL && blocks[at] != block)
        at = (at + 1) % SLOTS;
    return at;
}

static void *keep(void *block) {
    if (block == NULL || !tracking)
        return block;
    pthread_mutex_lock(&lock);
    if (live > SLOTS / 2)
        abort(); /* the table must never be full */
    blocks[slot_of(block)] = block;
    live++;
    pthread_mutex_unlock(&lock);
    return block;
}

/* What stood behind it moves up, so that a search never meets a gap. Blocks that libc made are not known here. */
static void forget(void *block) {
    size_t at;

    if (block == NULL || !tracking)
        return;
    pthread_mutex_lock(&lock);
    at = slot_of(block);
    if (blocks[at] != NULL) {
        blocks[at] = NULL;
        live--;
        for (at = (at + 1) % SLOTS; blocks[at] != NULL; at = (at + 1) % SLOTS) {
            void *moved = blocks[at];

            blocks[at] = NULL;
            blocks[slot_of(moved)] = moved;
        }
    }
    pthread_mutex_unlock(&lock);
}

EXPORT void sshd_fault_track(void) {
    tracking = 1;
}

/* Blocks that our C and libssh have allocated since and not freed. */
EXPORT long sshd_fault_live(void) {
    return live;
}

#define ALLOCATES(name, parameters, arguments)                                                                         \
    void *__real_##name parameters;                                                                                    \
    void *__wrap_##name parameters;                                                                                    \
    void *__wrap_##name parameters {                                                                                   \
        return fails("memory") ? NULL : keep(__real_##name arguments);                                                 \
    }

ALLOCATES(malloc, (size_t size), (size))
ALLOCATES(calloc, (size_t count, size_t size), (count, size))
ALLOCATES(strdup, (const char *text), (text))
ALLOCATES(strndup, (const char *text, size_t size), (text, size))

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size) {
    void *moved;

    if (fails("memory"))
        return NULL;
    forget(block);
    moved = __real_realloc(block, size);
    keep(moved == NULL && size > 0 ? block : moved);
    return moved;
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block) {
    forget(block);
    __real_free(block);
}
