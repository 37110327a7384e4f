/* What each request does to a path, in one call without Python's lock. */
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* What the system's headers may be too old to name; these numbers are the same on every architecture but Alpha. */
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

#define BLOCK_SIZE 512 /* what st_blocks counts by */

/* SSH_FILEXFER_ATTR_FLAGS_... */
#define BIT_HIDDEN 0x004
#define BIT_ENCRYPTED 0x020
#define BIT_COMPRESSED 0x040
#define BIT_SPARSE 0x080
#define BIT_APPEND_ONLY 0x100
#define BIT_IMMUTABLE 0x200

#define PROC_PATH_SIZE 32 /* "/proc/self/fd/" and a number */

_Static_assert(sizeof(sshd_stat) == 112, "the binding unpacks 9 x 8 + 10 x 4 bytes");

/* ---- files ---- */

/* Regular files only, and at once: a FIFO or device must not hold the thread, so O_NONBLOCK comes before the look. */
int sshd_path_open(int root, const char *path, uint64_t flags, uint32_t mode, int rules) {
    uint64_t how = (flags & ~(uint64_t)O_TRUNC) | O_NONBLOCK | O_NOCTTY;
    struct stat st;
    int rc = 0;
    int fd = sshd_path_resolve(root, path, how, mode, rules);

    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        rc = -errno;
    else if (S_ISDIR(st.st_mode))
        rc = -EISDIR;
    else if (!S_ISREG(st.st_mode))
        rc = -ENXIO;
    else if (flags & O_TRUNC && !(flags & O_EXCL) && ftruncate(fd, 0) < 0)
        rc = -errno;
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static void stat_copy(sshd_stat *to, const struct stat *from) {
    memset(to, 0, sizeof *to);
    to->device = from->st_dev;
    to->inode = from->st_ino;
    to->links = from->st_nlink;
    to->size = (uint64_t)from->st_size;
    to->allocation = (uint64_t)from->st_blocks * BLOCK_SIZE;
    to->atime = from->st_atim.tv_sec;
    to->mtime = from->st_mtim.tv_sec;
    to->ctime = from->st_ctim.tv_sec;
    to->atime_ns = (uint32_t)from->st_atim.tv_nsec;
    to->mtime_ns = (uint32_t)from->st_mtim.tv_nsec;
    to->ctime_ns = (uint32_t)from->st_ctim.tv_nsec;
    to->mode = from->st_mode;
    to->uid = from->st_uid;
    to->gid = from->st_gid;
}

static uint32_t statx_bits(uint64_t marks) {
    return (marks & STATX_ATTR_ENCRYPTED ? BIT_ENCRYPTED : 0) | (marks & STATX_ATTR_COMPRESSED ? BIT_COMPRESSED : 0) |
           (marks & STATX_ATTR_APPEND ? BIT_APPEND_ONLY : 0) | (marks & STATX_ATTR_IMMUTABLE ? BIT_IMMUTABLE : 0);
}

static void statx_copy(sshd_stat *to, const struct statx *from) {
    to->device = makedev(from->stx_dev_major, from->stx_dev_minor);
    to->inode = from->stx_ino;
    to->links = from->stx_nlink;
    to->size = from->stx_size;
    to->allocation = from->stx_blocks * BLOCK_SIZE;
    to->atime = from->stx_atime.tv_sec;
    to->mtime = from->stx_mtime.tv_sec;
    to->ctime = from->stx_ctime.tv_sec;
    to->birth = from->stx_btime.tv_sec;
    to->atime_ns = from->stx_atime.tv_nsec;
    to->mtime_ns = from->stx_mtime.tv_nsec;
    to->ctime_ns = from->stx_ctime.tv_nsec;
    to->birth_ns = from->stx_btime.tv_nsec;
    to->mode = from->stx_mode;
    to->uid = from->stx_uid;
    to->gid = from->stx_gid;
    to->bits = statx_bits(from->stx_attributes & from->stx_attributes_mask);
    to->bits_known = statx_bits(from->stx_attributes_mask);
    to->birth_known = from->stx_mask & STATX_BTIME ? 1 : 0;
}

static int is_no_name(const char *text) {
    return strcmp(text, "") == 0 || strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
}

/* What size and name tell. A name with a period in front is hidden, as `ls` has it; of what has none nobody knows. */
static void stat_mark(sshd_stat *s, const char *name) {
    if (S_ISREG(s->mode)) {
        s->bits_known |= BIT_SPARSE;
        s->bits |= s->allocation < s->size ? BIT_SPARSE : 0;
    }
    if (!is_no_name(name)) {
        s->bits_known |= BIT_HIDDEN;
        s->bits |= *name == '.' ? BIT_HIDDEN : 0;
    }
}

/* As fstatat, of what is called `name` in the directory `fd`, or with "" of `fd` itself; a link is not followed, and
 * nothing is mounted for a look, which statx would do unless told. */
static int stat_fill(sshd_stat *result, int fd, const char *name) {
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    struct statx sx;
    struct stat st;
    int rc = sshd_outcome(syscall(SYS_statx, fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &sx));

    if (rc == 0) {
        statx_copy(result, &sx);
        return 0;
    }
    if (rc != -ENOSYS && rc != -EPERM) /* what sandboxes say that do not know it */
        return rc;
    if (fstatat(fd, name, &st, flags) < 0)
        return -errno;
    stat_copy(result, &st);
    return 0;
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

int sshd_file_stat(int fd, sshd_stat *result) {
    int rc = stat_fill(result, fd, "");

    if (rc == 0)
        stat_mark(result, "");
    return rc;
}

int sshd_path_stat(int root, const char *path, int follow, sshd_stat *result, int rules) {
    int fd = sshd_path_resolve(root, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0, rules);
    int rc;

    if (fd < 0)
        return fd;
    rc = stat_fill(result, fd, "");
    if (rc == 0)
        stat_mark(result, last_name(path));
    close(fd);
    return rc;
}

/* ---- changing attributes ---- */

static void change_times(const sshd_change *c, struct timespec times[2]) {
    times[0].tv_sec = (time_t)c->atime;
    times[0].tv_nsec = c->what & SSHD_CHANGE_ATIME ? (long)c->atime_ns : UTIME_OMIT;
    times[1].tv_sec = (time_t)c->mtime;
    times[1].tv_nsec = c->what & SSHD_CHANGE_MTIME ? (long)c->mtime_ns : UTIME_OMIT;
}

static uid_t change_uid(const sshd_change *c) {
    return c->what & SSHD_CHANGE_UID ? (uid_t)c->uid : (uid_t)-1;
}

static gid_t change_gid(const sshd_change *c) {
    return c->what & SSHD_CHANGE_GID ? (gid_t)c->gid : (gid_t)-1;
}

/* UTIME_NOW and UTIME_OMIT hide among the nanoseconds and are not the client's to send. */
static int change_check(const sshd_change *c) {
    if ((c->what & SSHD_CHANGE_SIZE && c->size > INT64_MAX) || (c->what & SSHD_CHANGE_ALLOCATION && c->allocation > INT64_MAX))
        return -EFBIG;
    if ((c->what & SSHD_CHANGE_ATIME && c->atime_ns > 999999999) || (c->what & SSHD_CHANGE_MTIME && c->mtime_ns > 999999999))
        return -EINVAL;
    return 0;
}

/* Sets space aside for the file; less than it has cuts it off there (draft-13, section 7.4). */
static int file_allocate(int fd, uint64_t space) {
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (space < (uint64_t)st.st_size)
        return sshd_outcome(ftruncate(fd, (off_t)space));
    return space == 0 ? 0 : sshd_outcome(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)space));
}

static int file_resize(int fd, const sshd_change *c) {
    int rc = 0;

    if (c->what & SSHD_CHANGE_SIZE)
        rc = sshd_outcome(ftruncate(fd, (off_t)c->size));
    if (rc == 0 && c->what & SSHD_CHANGE_ALLOCATION)
        rc = file_allocate(fd, c->allocation);
    return rc;
}

/* Order: sizes, owner, mode, times; each undoes part of what a later one sets. Stops at the first failure. */
int sshd_file_change(int fd, const sshd_change *c) {
    struct timespec times[2];
    int rc = change_check(c);

    if (rc == 0)
        rc = file_resize(fd, c);
    if (rc == 0 && c->what & (SSHD_CHANGE_UID | SSHD_CHANGE_GID))
        rc = sshd_outcome(fchown(fd, change_uid(c), change_gid(c)));
    if (rc == 0 && c->what & SSHD_CHANGE_MODE)
        rc = sshd_outcome(fchmod(fd, c->mode & 07777));
    if (rc == 0 && c->what & (SSHD_CHANGE_ATIME | SSHD_CHANGE_MTIME)) {
        change_times(c, times);
        rc = sshd_outcome(futimens(fd, times));
    }
    return rc;
}

static int same_object(int a, int b) {
    struct stat first;
    struct stat second;

    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

/* ftruncate wants a writable descriptor: resolves again and goes on only if that gave the object `fd` holds. */
static int path_resize(int root, const char *path, int fd, const sshd_change *c, int rules) {
    int rc;
    int writable;

    if (!sshd_is_type(fd, S_IFREG))
        return sshd_is_type(fd, S_IFDIR) ? -EISDIR : -EINVAL;
    writable = sshd_path_resolve(root, path, O_WRONLY | O_NONBLOCK | O_NOCTTY, 0, rules);
    if (writable < 0)
        return writable;
    rc = same_object(fd, writable) ? file_resize(writable, c) : -EAGAIN;
    if (close(writable) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

static void proc_path(char *buffer, int fd) {
    snprintf(buffer, PROC_PATH_SIZE, "/proc/self/fd/%d", fd);
}

/* fchmod refuses O_PATH descriptors. fchmodat2 is new in Linux 6.6; what it replaces needs /proc. */
static int path_chmod(int fd, mode_t mode) {
    char proc[PROC_PATH_SIZE];
    int rc;

    if (sshd_is_type(fd, S_IFLNK))
        return -EOPNOTSUPP;
    rc = sshd_outcome(syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH));
    if (rc != -ENOSYS && rc != -EPERM)
        return rc;
    proc_path(proc, fd);
    rc = sshd_outcome(chmod(proc, mode));
    return rc == -ENOENT ? -EOPNOTSUPP : rc;
}

/* utimensat takes AT_EMPTY_PATH since Linux 5.8. */
static int path_utime(int fd, const struct timespec times[2]) {
    char proc[PROC_PATH_SIZE];
    int rc = sshd_outcome(utimensat(fd, "", times, AT_EMPTY_PATH));

    if (rc != -EINVAL)
        return rc;
    proc_path(proc, fd);
    rc = sshd_outcome(utimensat(AT_FDCWD, proc, times, 0));
    return rc == -ENOENT ? -EOPNOTSUPP : rc;
}

/* As sshd_file_change, on what the path leads to: all parts reach the same object. */
int sshd_path_change(int root, const char *path, int follow, const sshd_change *c, int rules) {
    struct timespec times[2];
    int rc = change_check(c);
    int fd = -1;

    if (rc < 0)
        goto out;
    fd = rc = sshd_path_resolve(root, path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0, rules);
    if (rc < 0)
        goto out;
    rc = 0;
    if (c->what & (SSHD_CHANGE_SIZE | SSHD_CHANGE_ALLOCATION))
        rc = path_resize(root, path, fd, c, rules);
    if (rc == 0 && c->what & (SSHD_CHANGE_UID | SSHD_CHANGE_GID))
        rc = sshd_outcome(fchownat(fd, "", change_uid(c), change_gid(c), AT_EMPTY_PATH));
    if (rc == 0 && c->what & SSHD_CHANGE_MODE)
        rc = path_chmod(fd, c->mode & 07777);
    if (rc == 0 && c->what & (SSHD_CHANGE_ATIME | SSHD_CHANGE_MTIME)) {
        change_times(c, times);
        rc = path_utime(fd, times);
    }
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ---- names ---- */

int sshd_path_mkdir(int root, const char *path, uint32_t mode, int rules) {
    sshd_leaf leaf;
    int rc = sshd_leaf_open(&leaf, root, path, EEXIST, rules);

    if (rc == 0)
        rc = sshd_outcome(mkdirat(leaf.parent, leaf.name, mode));
    sshd_leaf_close(&leaf);
    return rc;
}

int sshd_path_rmdir(int root, const char *path, int rules) {
    sshd_leaf leaf;
    int rc = sshd_leaf_open(&leaf, root, path, EBUSY, rules);

    if (rc == 0)
        rc = sshd_outcome(unlinkat(leaf.parent, leaf.name, AT_REMOVEDIR));
    sshd_leaf_close(&leaf);
    return rc;
}

int sshd_path_remove(int root, const char *path, int rules) {
    sshd_leaf leaf;
    int rc = sshd_leaf_open(&leaf, root, path, EISDIR, rules);

    if (rc == 0)
        rc = sshd_outcome(unlinkat(leaf.parent, leaf.name, 0));
    sshd_leaf_close(&leaf);
    return rc;
}

int sshd_path_symlink(int root, const char *target, const char *path, int rules) {
    sshd_leaf leaf;
    int rc = sshd_leaf_open(&leaf, root, path, EEXIST, rules);

    if (rc == 0)
        rc = sshd_outcome(symlinkat(target, leaf.parent, leaf.name));
    sshd_leaf_close(&leaf);
    return rc;
}

int sshd_path_link(int root, const char *old_path, const char *new_path, int rules) {
    sshd_leaf from;
    sshd_leaf to = {.parent = -1};
    int rc = sshd_leaf_open(&from, root, old_path, EPERM, rules);

    if (rc == 0)
        rc = sshd_leaf_open(&to, root, new_path, EEXIST, rules);
    if (rc == 0)
        rc = sshd_outcome(linkat(from.parent, from.name, to.parent, to.name, 0));
    sshd_leaf_close(&to);
    sshd_leaf_close(&from);
    return rc;
}

static int rename_directory(const sshd_leaf *from, const sshd_leaf *to) {
    struct stat st;

    if (fstatat(to->parent, to->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return -EEXIST;
    if (errno != ENOENT)
        return -errno;
    return sshd_outcome(renameat(from->parent, from->name, to->parent, to->name));
}

/* For file systems without RENAME_NOREPLACE (NFS, many of FUSE). Not atomic: both names, or a late rival, may show. */
static int rename_in_steps(const sshd_leaf *from, const sshd_leaf *to) {
    struct stat st;
    int rc;

    if (fstatat(from->parent, from->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return rename_directory(from, to);
    if (linkat(from->parent, from->name, to->parent, to->name, 0) < 0)
        return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS ? rename_directory(from, to) : -errno;
    rc = sshd_outcome(unlinkat(from->parent, from->name, 0));
    if (rc < 0)
        unlinkat(to->parent, to->name, 0);
    return rc;
}

static int rename_leaf(const sshd_leaf *from, const sshd_leaf *to, int replace) {
    int rc;

    if (replace)
        return sshd_outcome(renameat(from->parent, from->name, to->parent, to->name));
    rc = sshd_outcome(syscall(SYS_renameat2, from->parent, from->name, to->parent, to->name, RENAME_NOREPLACE));
    return rc == -EINVAL || rc == -ENOSYS ? rename_in_steps(from, to) : rc;
}

int sshd_path_rename(int root, const char *old_path, const char *new_path, int replace, int rules) {
    sshd_leaf from;
    sshd_leaf to = {.parent = -1};
    int rc = sshd_leaf_open(&from, root, old_path, EBUSY, rules);

    if (rc == 0)
        rc = sshd_leaf_open(&to, root, new_path, replace ? EBUSY : EEXIST, rules);
    if (rc == 0)
        rc = rename_leaf(&from, &to, replace);
    sshd_leaf_close(&to);
    sshd_leaf_close(&from);
    return rc;
}

/* Returns the length of the target, which is not terminated. */
int sshd_path_readlink(int root, const char *path, char *target, size_t size, int rules) {
    int fd = sshd_path_resolve(root, path, O_PATH | O_NOFOLLOW, 0, rules);
    int rc;

    if (fd < 0)
        return fd;
    rc = sshd_outcome(readlinkat(fd, "", target, size));
    close(fd);
    return rc == -ENOENT ? -EINVAL : rc; /* what the kernel calls an empty path is an object that is no link */
}

/* ---- directories ---- */

/* struct linux_dirent64 of getdents64(2) */
struct record {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

int sshd_directory_open(int root, const char *path, int rules) {
    return sshd_path_resolve(root, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0, rules);
}

/* Rule: the root is its own parent; what lies above it has no size, owner or date for the client. */
static const char *visible_name(int root, int fd, const char *name) {
    return strcmp(name, "..") == 0 && same_object(root, fd) ? "." : name;
}

/* Returns 0 when the entry has vanished. One that may not be looked at keeps its name and has a mode of 0. */
static int record_stat(int root, int fd, const struct record *record, sshd_stat *result) {
    int rc = stat_fill(result, fd, visible_name(root, fd, record->name));

    if (rc == -ENOENT)
        return 0;
    if (rc == 0)
        stat_mark(result, record->name);
    else
        memset(result, 0, sizeof *result);
    return 1;
}

/*
 * Reads the next entries: stats holds SSHD_DIRECTORY_BATCH, names SSHD_DIRECTORY_NAMES bytes, where each name ends with NUL.
 * Returns the number of entries, 0 at the end of the directory.
 */
int sshd_directory_read(int root, int fd, sshd_stat *stats, char *names, size_t *names_used) {
    _Alignas(struct record) char records[SSHD_DIRECTORY_NAMES];
    int count = 0;

    *names_used = 0;
    while (count == 0) {
        long filled = syscall(SYS_getdents64, fd, records, sizeof records);

        if (filled <= 0)
            return sshd_outcome(filled);
        for (long at = 0; at < filled;) {
            const struct record *record = (const struct record *)(records + at);
            size_t size = strlen(record->name) + 1;

            at += record->length;
            if (!record_stat(root, fd, record, &stats[count]))
                continue;
            memcpy(names + *names_used, record->name, size);
            *names_used += size;
            count++;
        }
    }
    return count;
}
