/* What stands around the C core in a harness: its two descriptors, and system calls that fail when they are told to. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Numbers no open file has. The linker leads read, write and poll through world.c, which knows them. */
enum { WORLD_INPUT = 0x40000000, WORLD_OUTPUT, WORLD_WAKE };

enum { WORLD_READ, WORLD_WRITE, WORLD_POLL, WORLD_PREAD, WORLD_PWRITE, WORLD_CLOSE, WORLD_CALLS };

#define WORLD_FILE_MAX 8192 /* no pwrite goes further: EFBIG, as beyond RLIMIT_FSIZE */
#define WORLD_SHORT 0       /* as the errno of a fault: the call does half of its work */

typedef struct {
    int call; /* WORLD_... */
    int after; /* this many calls go well; below 0: no fault */
    int error;
} world_fault;

struct world {
    const uint8_t *input; /* what the client has sent and the core has not read */
    size_t input_left;
    size_t input_most; /* one read gives so much */
    int input_ended;
    void (*reader)(const uint8_t *data, size_t length); /* takes what the core writes */
    size_t room; /* the reader takes so much and then pauses */
    int hung_up;
    world_fault fault;
    int cut;   /* a call was cut short, ever */
    int armed; /* the core is running: faults may happen */
};

extern struct world world;

/* An invariant of the core. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                                    \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* One input of a fuzzer, from scratch: nothing is left of the one before. */
void target_setup(void);
void target_run(const uint8_t *data, size_t size);

#endif
