#ifndef FUZZ_DESCRIPTORS_H
#define FUZZ_DESCRIPTORS_H

#include <fcntl.h>
#include <stdint.h>

/* A bit for each of the lowest descriptors that is open. */
static inline uint64_t descriptors(void) {
    uint64_t open = 0;

    for (int fd = 0; fd < 64; fd++)
        open |= (uint64_t)(fcntl(fd, F_GETFD) >= 0) << fd;
    return open;
}

#endif
