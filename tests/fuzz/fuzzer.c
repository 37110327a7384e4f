/* The entries libFuzzer calls. */
#include "world.h"

int LLVMFuzzerInitialize(int *count, char ***names);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *count, char ***names) {
    (void)count, (void)names;
    target_setup();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    target_run(data, size);
    return 0;
}
