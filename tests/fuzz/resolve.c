/* Fuzz target: paths below a root. The kernel's way is the oracle of the walk: the same object, or the same error.
 *
 * The input: a byte that picks the flags, then lines; the last is the path, those before are the targets of the links
 * "x", "y" and "z". What lies outside the root must never be reached, by either way. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "descriptors.h"
#include "path.h"
#include "world.h"

#define LINKS 3
#define INPUT_MOST 4000

static char root_path[PATH_MAX];
static size_t root_length;
static int root = -1;

static const uint64_t FLAGS[] = {
    O_PATH,
    O_PATH | O_NOFOLLOW,
    O_PATH | O_DIRECTORY,
    O_RDONLY | O_NONBLOCK,
    O_RDONLY | O_NONBLOCK | O_DIRECTORY,
    O_WRONLY | O_NONBLOCK | O_NOFOLLOW,
    O_RDWR | O_NONBLOCK | O_CREAT,
    O_WRONLY | O_NONBLOCK | O_CREAT | O_EXCL,
};

static const struct {
    const char *name, *target;
} LINK_TO[] = {
    {"up", ".."},        {"far", "../../../.."},     {"absolute", "/a/b"}, {"loop", "loop"},      {"dangling", "gone"},
    {"tofile", "a/b/f"}, {"dlink", "a"},             {"a/up", ".."},       {"a/b/out", "../../../outside"},
    {"a/b/top", "/"},    {"outabs", "/etc/passwd"}, {"slash", "a/b/"},    {"a/long", "./././b/../b/./../../a/b"},
};

/* Where an open descriptor leads, from the root on; what is outside the root breaks the target. */
static const char *place(int fd, char *buffer) {
    char link[32];
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, buffer, PATH_MAX - 1);
    CHECK(length > 0);
    buffer[length] = 0;
    CHECK(strncmp(buffer, root_path, root_length) == 0 && (buffer[root_length] == '/' || buffer[root_length] == 0));
    return buffer + root_length;
}

typedef struct {
    int error; /* 0: it leads to `where` */
    char where[PATH_MAX];
} found;

static void look(found *f, const char *path, uint64_t flags, int rules) {
    char buffer[PATH_MAX];
    struct stat st;
    int fd = sshd_path_resolve(root, path, flags, 0644, rules);

    f->error = fd < 0 ? fd : 0;
    if (fd < 0)
        return;
    strcpy(f->where, place(fd, buffer));
    CHECK(fstat(fd, &st) == 0);
    if (flags & O_CREAT && st.st_nlink == 1 && S_ISREG(st.st_mode) && strcmp(f->where, "/f") != 0 &&
        strcmp(f->where, "/a/b/f") != 0)
        CHECK(unlink(buffer) == 0); /* the other way finds what this one found */
    close(fd);
}

static void look_at_parent(found *f, const char *path, int rules) {
    char buffer[PATH_MAX];
    sshd_leaf leaf;
    int rc = sshd_leaf_open(&leaf, root, path, EBUSY, rules);

    f->error = rc;
    if (rc == 0)
        snprintf(f->where, sizeof f->where, "%s: %.255s", place(leaf.parent, buffer), leaf.name);
    sshd_leaf_close(&leaf);
}

/* The walk has one buffer for all that is still to be walked: links make it run over where the kernel goes on.
 * Asked to make "file/", the kernel says at once that no directory is made so, the walk what it finds instead. */
static void check_same(const char *path, const found *kernel, const found *walk) {
    if (walk->error == -ENAMETOOLONG || (kernel->error == -EISDIR && walk->error < 0))
        return;
    if (kernel->error == walk->error && (kernel->error < 0 || strcmp(kernel->where, walk->where) == 0))
        return;
    fprintf(stderr, "%s: by the kernel %d %.300s, by the walk %d %.300s\n", path, kernel->error,
            kernel->error < 0 ? "" : kernel->where, walk->error, walk->error < 0 ? "" : walk->where);
    abort();
}

static void compare(const char *path, uint64_t flags, int rules) {
    static found kernel, walk;

    look(&kernel, path, flags, rules);
    look(&walk, path, flags, rules | SSHD_RULE_WALK);
    check_same(path, &kernel, &walk);
    look_at_parent(&kernel, path, rules);
    look_at_parent(&walk, path, rules | SSHD_RULE_WALK);
    check_same(path, &kernel, &walk);
}

static void make_file(const char *name) {
    int fd = openat(root, name, O_WRONLY | O_CREAT, 0644);

    CHECK(fd >= 0);
    close(fd);
}

void target_setup(void) {
    char base[PATH_MAX];

    CHECK(getenv("FUZZ_DIRECTORY") != NULL && realpath(getenv("FUZZ_DIRECTORY"), base) != NULL);
    root_length = (size_t)snprintf(root_path, sizeof root_path, "%s/XXXXXX", base);
    CHECK(root_length < sizeof root_path - 16 && mkdtemp(root_path) != NULL);
    root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(mkdirat(root, "outside", 0755) == 0); /* beside the root */
    CHECK(mkdirat(root, "root", 0755) == 0);
    strcat(root_path, "/root");
    root_length = strlen(root_path);
    close(root);
    root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK(mkdirat(root, "a", 0755) == 0 && mkdirat(root, "a/b", 0755) == 0 && mkfifoat(root, "fifo", 0644) == 0);
    make_file("f");
    make_file("a/b/f");
    for (size_t i = 0; i < sizeof LINK_TO / sizeof *LINK_TO; i++)
        CHECK(symlinkat(LINK_TO[i].target, root, LINK_TO[i].name) == 0);
}

/* The text before the last line becomes links; the last line is returned. */
static const char *make_links(char *text) {
    static const char *const NAMES[LINKS] = {"x", "y", "z"};

    for (int i = 0; i < LINKS; i++) {
        char *end = strchr(text, '\n');

        unlinkat(root, NAMES[i], 0);
        if (end == NULL)
            continue;
        *end = 0;
        if (*text)
            CHECK(symlinkat(text, root, NAMES[i]) == 0);
        text = end + 1;
    }
    return text;
}

void target_run(const uint8_t *data, size_t size) {
    char text[INPUT_MOST + 1];
    uint64_t before = descriptors();
    const char *path;

    if (size == 0 || size > INPUT_MOST)
        return;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    path = make_links(text);
    compare(path, FLAGS[data[0] % 8], 0);
    compare(path, FLAGS[data[0] % 8], SSHD_RULE_BENEATH);
    CHECK(descriptors() == before);
}
