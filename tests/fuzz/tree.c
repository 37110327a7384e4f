#include "tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "world.h"

#define FIRST_SIZE 5000 /* of /f0 */

int tree_root = -1;
int tree_files[FILES];
static char root[4096];

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind;
    return at->level == 0 ? 0 : remove(path);
}

static void make_first(void) {
    int fd = openat(tree_root, "f0", O_WRONLY | O_CREAT | O_TRUNC, 0644);

    CHECK(fd >= 0);
    CHECK(pwrite(fd, model_pattern, FIRST_SIZE, 0) == FIRST_SIZE);
    close(fd);
}

static void make_all(void) {
    CHECK(mkdirat(tree_root, "d", 0755) == 0);
    CHECK(symlinkat("f0", tree_root, "link") == 0);
    CHECK(symlinkat("f3", tree_root, "dangling") == 0);
    CHECK(symlinkat("../../../f1", tree_root, "out") == 0);
    CHECK(symlinkat("loop", tree_root, "loop") == 0);
    CHECK(symlinkat("../../f0", tree_root, "d/up") == 0);
    CHECK(mkfifoat(tree_root, "fifo", 0644) == 0);
}

void tree_make(void) {
    const char *directory = getenv("FUZZ_DIRECTORY");

    CHECK(directory != NULL);
    CHECK((size_t)snprintf(root, sizeof root, "%s/XXXXXX", directory) < sizeof root && mkdtemp(root) != NULL);
    tree_root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(tree_root >= 0);
    make_all();
    for (int i = FILE_PATTERN; i < FILES; i++) {
        tree_files[i] = memfd_create("python", MFD_CLOEXEC);
        CHECK(tree_files[i] >= 0);
    }
    CHECK(pwrite(tree_files[FILE_PATTERN], model_pattern, MODEL_PATTERN, 0) == MODEL_PATTERN);
}

void tree_reset(void) {
    static int wild = 0;
    int fd;

    if (wild) {
        nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        make_all();
    }
    wild = model.wild_path;
    make_first();
    fd = openat(tree_root, "f1", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    close(fd);
    unlinkat(tree_root, "f2", 0);
    unlinkat(tree_root, "f3", 0);
    for (int i = FILE_PYTHON; i < FILES; i++)
        CHECK(ftruncate(tree_files[i], 0) == 0);
    model.files[0].size = FIRST_SIZE;
    memcpy(model.files[0].data, model_pattern, FIRST_SIZE);
    model.files[FILE_PATTERN].size = MODEL_PATTERN;
}

/* As fs/rooted has them; -1 for TRUNC without WRITE. */
void tree_flags(int flags[64]) {
    static const int ACCESS[] = {O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR};

    for (int bits = 0; bits < 64; bits++) {
        flags[bits] = ACCESS[bits & 3] | (bits & 4 ? O_APPEND : 0) | (bits & 16 ? O_TRUNC : 0);
        if (bits & 8)
            flags[bits] |= O_CREAT | (bits & 32 ? O_EXCL : 0);
        if (bits & 16 && !(bits & 2))
            flags[bits] = -1;
    }
}
