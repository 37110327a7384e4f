/* Resolving a virtual path below the root's descriptor: by the kernel, or step by step where it cannot. */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* What the system's headers may be too old to name; these numbers are the same on every architecture but Alpha. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef RESOLVE_IN_ROOT
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_BENEATH 0x08
#define RESOLVE_IN_ROOT 0x10
#endif

#define PROC_MAGIC 0x9fa0
#define PROC_ROOT_INODE 1

#define ATTEMPTS 128    /* openat2 gives up with EAGAIN when something was renamed under it */
#define LINKS_MAX 40    /* as the kernel */
#define STEPS_MAX 16384 /* directories opened by one walk: a target full of "d/.." must not buy seconds */

/* struct open_how of linux/openat2.h */
struct how {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
};

int sshd_is_type(int fd, mode_t type) {
    struct stat st;

    return fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type;
}

/* ---- resolving by walking ---- */

/* Rule: the walk only ever descends, by one name that is neither a link nor "..", from the root. So it cannot leave. */
struct walk {
    int root;
    int fd; /* the directory reached */
    int links;
    int steps;
    int rules;
    uint64_t flags;
    uint32_t mode;
    const char *next;    /* into rest */
    char done[PATH_MAX]; /* what led from the root to fd: "/a/b" */
    char rest[PATH_MAX]; /* what is still to be walked */
};

static void walk_arrive(struct walk *w, int fd) {
    if (w->fd != w->root)
        close(w->fd);
    w->fd = fd;
}

/* From now on walks `head`, then what was left. */
static int walk_prepend(struct walk *w, const char *head, size_t length) {
    size_t tail = strlen(w->next) + 1;

    if (length + tail > sizeof w->rest)
        return -ENAMETOOLONG;
    memmove(w->rest + length, w->next, tail);
    memcpy(w->rest, head, length);
    w->next = w->rest;
    return 0;
}

/* Walks the way to the parent anew: openat("..") would follow a directory that was moved meanwhile. */
static int walk_up(struct walk *w) {
    char *slash = strrchr(w->done, '/');
    int rc;

    if (slash == NULL)
        return w->rules & SSHD_RULE_BENEATH ? -EXDEV : 0;
    rc = walk_prepend(w, w->done, (size_t)(slash - w->done));
    w->done[0] = '\0';
    walk_arrive(w, w->root);
    return rc;
}

/* In procfs only the links at its top (self, mounts, net) are text; the others lead to objects wherever they are. */
static int walk_at_magic(struct walk *w) {
    struct statfs fs;
    struct stat st;

    if (fstatfs(w->fd, &fs) < 0 || fstat(w->fd, &st) < 0)
        return 1;
    return fs.f_type == PROC_MAGIC && st.st_ino != PROC_ROOT_INODE;
}

/* Replaces `name` by its target if it is a link, else fails with `error`, which opening it gave. */
static int walk_follow(struct walk *w, const char *name, int error) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(w->fd, name, target, sizeof target);
    int rc;

    if (length < 0)
        return errno == EINVAL ? error : -errno;
    if (length == 0)
        return -ENOENT;
    if (length == (ssize_t)sizeof target)
        return -ENAMETOOLONG;
    if (++w->links > LINKS_MAX || walk_at_magic(w))
        return -ELOOP;
    if (target[0] == '/' && w->rules & SSHD_RULE_BENEATH)
        return -EXDEV;
    rc = walk_prepend(w, target, (size_t)length);
    if (rc == 0 && target[0] == '/') {
        w->done[0] = '\0';
        walk_arrive(w, w->root);
    }
    return rc;
}

static int walk_down(struct walk *w, const char *name) {
    size_t used = strlen(w->done);
    int fd;

    if (++w->steps > STEPS_MAX)
        return -ELOOP;
    fd = openat(w->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOTDIR ? walk_follow(w, name, -ENOTDIR) : -errno;
    walk_arrive(w, fd);
    if ((size_t)snprintf(w->done + used, sizeof w->done - used, "/%s", name) >= sizeof w->done - used)
        return -ENAMETOOLONG;
    return 0;
}

/* Opens the last component. Returns 0 with the descriptor in *opened, or with -1 there to go on behind a link. */
static int walk_open(struct walk *w, const char *name, int *opened) {
    int fd = openat(w->fd, name, (int)w->flags | O_NOFOLLOW | O_CLOEXEC, w->mode);
    int error = fd < 0 ? -errno : 0;
    int follow = !(w->flags & O_NOFOLLOW);

    if (fd >= 0 && follow && w->flags & O_PATH && sshd_is_type(fd, S_IFLNK)) {
        close(fd);
        return walk_follow(w, name, -ELOOP);
    }
    if (follow && (error == -ELOOP || error == -ENOTDIR))
        return walk_follow(w, name, error);
    *opened = fd;
    return error;
}

static int walk_step(struct walk *w, int *opened) {
    char name[NAME_MAX + 1];
    size_t length;

    w->next += strspn(w->next, "/");
    length = strcspn(w->next, "/");
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    if (length == 0)
        return walk_open(w, ".", opened);
    memcpy(name, w->next, length);
    name[length] = '\0';
    w->next += length;
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return walk_up(w);
    return *w->next ? walk_down(w, name) : walk_open(w, name, opened);
}

static int resolve_by_walk(int root, const char *path, uint64_t flags, uint32_t mode, int rules) {
    struct walk w = {.root = root, .fd = root, .rules = rules, .flags = flags, .mode = mode, .next = path};
    int opened = -1;
    int rc = walk_prepend(&w, "", 0);

    while (rc == 0 && opened < 0)
        rc = walk_step(&w, &opened);
    walk_arrive(&w, root);
    return rc < 0 ? rc : opened;
}

/* ---- resolving by the kernel ---- */

static int resolve_by_kernel(int root, const char *path, uint64_t flags, uint32_t mode, int rules) {
    uint64_t scope = rules & SSHD_RULE_BENEATH ? RESOLVE_BENEATH : RESOLVE_IN_ROOT;
    struct how how = {.flags = flags | O_CLOEXEC, .resolve = scope | RESOLVE_NO_MAGICLINKS};
    int rc = -EAGAIN;

    if (flags & O_CREAT)
        how.mode = mode;
    if (!(flags & O_PATH))
        how.flags |= O_LARGEFILE;
    for (int i = 0; i < ATTEMPTS && (rc == -EAGAIN || rc == -EINTR); i++)
        rc = sshd_outcome(syscall(SYS_openat2, root, path, &how, sizeof how));
    return rc;
}

/*
 * Opens `path` below `root` with open(2) flags. The way of the kernel costs 2 us; where it is missing (ENOSYS), forbidden by
 * a sandbox (EPERM) or disturbed by renames anywhere on the machine again and again (EAGAIN), we walk. A real EPERM comes
 * back from the walk unchanged. Both ways call it EXDEV when BENEATH is broken.
 */
int sshd_path_resolve(int root, const char *path, uint64_t flags, uint32_t mode, int rules) {
    int rc = -ENOSYS;

    path += strspn(path, "/");
    if (*path == '\0')
        path = ".";
    if (!(rules & SSHD_RULE_WALK))
        rc = resolve_by_kernel(root, path, flags, mode, rules);
    if (rc == -ENOSYS || rc == -EPERM || rc == -EAGAIN)
        rc = resolve_by_walk(root, path, flags, mode, rules);
    return rc == -EXDEV ? -EACCES : rc; /* it led out */
}

/* ---- the parent of a name ---- */

int sshd_leaf_open(sshd_leaf *leaf, int root, const char *path, int at_root, int rules) {
    char parent[PATH_MAX];
    const char *slash;
    size_t length;

    path += strspn(path, "/");
    slash = strrchr(path, '/');
    leaf->root = leaf->parent = root;
    leaf->name = slash ? slash + 1 : path;
    if (*leaf->name == '\0' || strcmp(leaf->name, ".") == 0 || strcmp(leaf->name, "..") == 0)
        return -at_root;
    if (slash == NULL)
        return 0;
    length = (size_t)(slash - path);
    if (length >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, path, length);
    parent[length] = '\0';
    leaf->parent = sshd_path_resolve(root, parent, O_PATH | O_DIRECTORY, 0, rules);
    return leaf->parent < 0 ? leaf->parent : 0;
}

void sshd_leaf_close(sshd_leaf *leaf) {
    if (leaf->parent >= 0 && leaf->parent != leaf->root)
        close(leaf->parent);
}
