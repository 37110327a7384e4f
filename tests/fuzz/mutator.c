/* A mutator that knows that the script of session.c consists of steps. */
#include <stdint.h>
#include <string.h>

#define STEP 8
#define KINDS 6

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);

static unsigned draw(unsigned *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void insert(uint8_t *data, size_t size, size_t at, const uint8_t *step) {
    memmove(data + at + STEP, data + at, size - at);
    memcpy(data + at, step, STEP);
}

/* Takes, makes, doubles, moves or changes one step; all else is libFuzzer's to try, on all the bytes. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    size_t steps = size / STEP;
    size_t at = steps ? draw(&seed) % steps * STEP : 0;
    size_t to = steps ? draw(&seed) % (steps + 1) * STEP : 0;
    uint8_t step[STEP];

    if (steps == 0)
        return LLVMFuzzerMutate(data, size, room);
    size = steps * STEP;
    memcpy(step, data + at, STEP);
    switch (draw(&seed) % KINDS) {
    case 0:
        memmove(data + at, data + at + STEP, size - at - STEP);
        return size - STEP;
    case 1:
        for (int i = 0; i < STEP; i++)
            step[i] = (uint8_t)draw(&seed);
        step[0] %= 32;
        break;
    case 2:
        step[draw(&seed) % 4] = (uint8_t)draw(&seed);
        break;
    case 3:
        data[at + draw(&seed) % STEP] ^= (uint8_t)(1u << draw(&seed) % 8);
        return size;
    case 4:
        break;
    default:
        return LLVMFuzzerMutate(data, size, room);
    }
    if (size + STEP > room)
        return size;
    insert(data, size, to, step);
    return size + STEP;
}
