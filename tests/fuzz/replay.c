/* A target without a fuzzer: runs each file named on the command line once. */
#include "world.h"

static uint8_t input[1 << 20];

int main(int count, char **names) {
    target_setup();
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        size_t size;

        CHECK(file != NULL);
        size = fread(input, 1, sizeof input, file);
        fclose(file);
        target_run(input, size);
    }
    printf("%d files\n", count - 1);
    return 0;
}
