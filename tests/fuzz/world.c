/* The linker leads these calls of the core here (-Wl,--wrap=NAME, see build.py). */
#include "world.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/types.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, length)
#define ASAN_UNPOISON_MEMORY_REGION(at, length)
#endif

struct world world;

ssize_t __real_read(int fd, void *to, size_t count);
ssize_t __real_write(int fd, const void *from, size_t count);
ssize_t __real_pread(int fd, void *to, size_t count, off_t offset);
ssize_t __real_pwrite(int fd, const void *from, size_t count, off_t offset);
int __real_poll(struct pollfd *pollers, nfds_t count, int timeout);
int __real_close(int fd);

ssize_t __wrap_read(int fd, void *to, size_t count);
ssize_t __wrap_write(int fd, const void *from, size_t count);
ssize_t __wrap_pread(int fd, void *to, size_t count, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *from, size_t count, off_t offset);
int __wrap_poll(struct pollfd *pollers, nfds_t count, int timeout);
int __wrap_close(int fd);

/* Whether this call fails, with errno set, or does only half of *count. */
static int fails(int call, size_t *count) {
    if (!world.armed || world.fault.call != call || world.fault.after < 0 || world.fault.after-- > 0)
        return 0;
    if (world.fault.error == WORLD_SHORT) {
        *count = *count > 1 ? *count / 2 : *count;
        world.cut = 1;
        return 0;
    }
    errno = world.fault.error;
    return 1;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

ssize_t __wrap_read(int fd, void *to, size_t count) {
    if (fd != WORLD_INPUT)
        return __real_read(fd, to, count);
    if (fails(WORLD_READ, &count))
        return -1;
    if (world.input_left == 0 && !world.input_ended) {
        errno = EAGAIN;
        return -1;
    }
    ASAN_POISON_MEMORY_REGION(to, count); /* what nothing was read into is not to be looked at either */
    count = least(least(count, world.input_left), world.input_most);
    ASAN_UNPOISON_MEMORY_REGION(to, count);
    memcpy(to, world.input, count);
    world.input += count;
    world.input_left -= count;
    return (ssize_t)count;
}

ssize_t __wrap_write(int fd, const void *from, size_t count) {
    if (fd != WORLD_OUTPUT)
        return __real_write(fd, from, count);
    if (fails(WORLD_WRITE, &count))
        return -1;
    if (world.hung_up || world.room == 0) {
        errno = world.hung_up ? EPIPE : EAGAIN;
        return -1;
    }
    count = least(count, world.room);
    world.room -= count;
    world.reader(from, count);
    return (ssize_t)count;
}

static short ready(int fd) {
    if (fd == WORLD_INPUT)
        return world.input_left > 0 || world.input_ended ? POLLIN : 0;
    if (fd == WORLD_OUTPUT)
        return (short)(world.hung_up ? POLLERR : world.room > 0 ? POLLOUT : 0);
    return world.input_left == 0 && !world.input_ended ? POLLIN : 0; /* to sleep is to wake up: the script goes on */
}

/* What would sleep for ever is interrupted by a signal instead. */
int __wrap_poll(struct pollfd *pollers, nfds_t count, int timeout) {
    size_t unused = 0;
    int found = 0;

    if (pollers[0].fd < WORLD_INPUT)
        return __real_poll(pollers, count, timeout);
    if (fails(WORLD_POLL, &unused))
        return -1;
    for (nfds_t i = 0; i < count; i++) {
        pollers[i].revents = (short)(ready(pollers[i].fd) & (pollers[i].events | POLLERR));
        found += pollers[i].revents != 0;
    }
    if (found == 0 && timeout != 0) {
        errno = EINTR;
        return -1;
    }
    return found;
}

ssize_t __wrap_pread(int fd, void *to, size_t count, off_t offset) {
    return fails(WORLD_PREAD, &count) ? -1 : __real_pread(fd, to, count, offset);
}

ssize_t __wrap_pwrite(int fd, const void *from, size_t count, off_t offset) {
    if (fails(WORLD_PWRITE, &count))
        return -1;
    if (world.armed && offset >= WORLD_FILE_MAX && count > 0) {
        errno = EFBIG;
        return -1;
    }
    if (world.armed)
        count = least(count, (size_t)(WORLD_FILE_MAX - offset));
    return __real_pwrite(fd, from, count, offset);
}

/* A close that fails has closed all the same. */
int __wrap_close(int fd) {
    size_t unused = 0;
    int rc = __real_close(fd);

    return fails(WORLD_CLOSE, &unused) ? -1 : rc;
}
