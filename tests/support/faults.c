/* System calls on files that fail on demand: to be preloaded into a server (LD_PRELOAD).
 *
 * FAULTS names a file of sizeof(control) bytes that the test maps too. While `armed`, every call on a regular file or a
 * directory, or by a name below one, is counted and written down; the one with the number `at` meets the fault. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CALLS_MAX 200
#define NAME_SIZE 24
#define SHORT 10000 /* as the error: half of the bytes */

typedef struct {
    int32_t armed;
    int32_t at; /* -1: none fails */
    int32_t error;
    int32_t seen;
    int32_t fired;
    char names[CALLS_MAX][NAME_SIZE];
} control;

static control *shared;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    void *memory;

    if (fd < 0)
        return;
    memory = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    shared = memory == MAP_FAILED ? NULL : memory;
    syscall(SYS_close, fd);
}

/* Pipes, sockets and memory are not what this is about. */
static int is_file(int fd) {
    struct stat st;
    static int (*real)(int, struct stat *);

    if (fd == AT_FDCWD)
        return 1;
    if (!real)
        real = (int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat");
    return real(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode));
}

/* Descriptors through which content has changed: what their close tells matters. */
static unsigned char written[1 << 16];

static void note_write(const char *name, int fd) {
    static const char *const writes[] = {"pwrite", "write", "copy_file_range", "ftruncate"};

    for (size_t i = 0; fd >= 0 && (size_t)fd < sizeof written && i < sizeof writes / sizeof *writes; i++)
        written[fd] |= strcmp(name, writes[i]) == 0;
}

static int take_written(int fd) {
    int was = fd >= 0 && (size_t)fd < sizeof written && written[fd];

    if (was)
        written[fd] = 0;
    return was;
}

/* 0: go on; else the error, or SHORT. */
static int fault(const char *name, int fd) {
    int number, saved = errno, counts = shared && shared->armed && is_file(fd);

    errno = saved;
    if (!counts)
        return 0;
    note_write(name, fd);
    number = shared->seen++;
    if (number < CALLS_MAX)
        strncpy(shared->names[number], name, NAME_SIZE - 1);
    if (number != shared->at)
        return 0;
    shared->fired = 1;
    return shared->error;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) \
        real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define FAILING(type, name, call, fd, parameters, arguments, ...) \
    type name parameters { \
        int error = fault(call, fd); \
        REAL(type, name, __VA_ARGS__); \
        if (error && error != SHORT) { \
            errno = error; \
            return (type)-1; \
        } \
        return real arguments; \
    }

/* As FAILING, for calls on `length` bytes. */
#define MOVING(name, call, fd, parameters, arguments, ...) \
    ssize_t name parameters { \
        int error = fault(call, fd); \
        REAL(ssize_t, name, __VA_ARGS__); \
        if (error == SHORT) \
            length = (length + 1) / 2; \
        else if (error) { \
            errno = error; \
            return -1; \
        } \
        return real arguments; \
    }

MOVING(pread, "pread", fd, (int fd, void *data, size_t length, off_t at), (fd, data, length, at), int, void *, size_t, off_t)
MOVING(pread64, "pread", fd, (int fd, void *data, size_t length, off_t at), (fd, data, length, at), int, void *, size_t, off_t)
MOVING(pwrite, "pwrite", fd, (int fd, const void *data, size_t length, off_t at), (fd, data, length, at), int, const void *, size_t, off_t)
MOVING(pwrite64, "pwrite", fd, (int fd, const void *data, size_t length, off_t at), (fd, data, length, at), int, const void *, size_t, off_t)
MOVING(read, "read", fd, (int fd, void *data, size_t length), (fd, data, length), int, void *, size_t)
MOVING(write, "write", fd, (int fd, const void *data, size_t length), (fd, data, length), int, const void *, size_t)
MOVING(copy_file_range, "copy_file_range", to, (int from, off_t *at, int to, off_t *there, size_t length, unsigned flags),
       (from, at, to, there, length, flags), int, off_t *, int, off_t *, size_t, unsigned)

FAILING(int, fsync, "fsync", fd, (int fd), (fd), int)
FAILING(int, fdatasync, "fdatasync", fd, (int fd), (fd), int)
FAILING(int, ftruncate, "ftruncate", fd, (int fd, off_t size), (fd, size), int, off_t)
FAILING(int, ftruncate64, "ftruncate", fd, (int fd, off_t size), (fd, size), int, off_t)
FAILING(int, fallocate, "fallocate", fd, (int fd, int mode, off_t at, off_t length), (fd, mode, at, length), int, int, off_t, off_t)
FAILING(off_t, lseek64, "lseek", fd, (int fd, off_t at, int whence), (fd, at, whence), int, off_t, int)
FAILING(int, flock, "flock", fd, (int fd, int how), (fd, how), int, int)
FAILING(int, fstat, "fstat", fd, (int fd, struct stat *st), (fd, st), int, struct stat *)
FAILING(int, fstat64, "fstat", fd, (int fd, struct stat64 *st), (fd, st), int, struct stat64 *)
FAILING(int, fstatat, "fstatat", fd, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags), int, const char *, struct stat *, int)
FAILING(int, fstatvfs64, "fstatvfs", fd, (int fd, struct statvfs64 *st), (fd, st), int, struct statvfs64 *)
FAILING(int, fchmod, "fchmod", fd, (int fd, mode_t mode), (fd, mode), int, mode_t)
FAILING(int, chmod, "chmod", AT_FDCWD, (const char *path, mode_t mode), (path, mode), const char *, mode_t)
FAILING(int, fchown, "fchown", fd, (int fd, uid_t uid, gid_t gid), (fd, uid, gid), int, uid_t, gid_t)
FAILING(int, fchownat, "fchownat", fd, (int fd, const char *path, uid_t uid, gid_t gid, int flags), (fd, path, uid, gid, flags), int, const char *, uid_t, gid_t, int)
FAILING(int, futimens, "futimens", fd, (int fd, const struct timespec times[2]), (fd, times), int, const struct timespec *)
FAILING(int, utimensat, "utimensat", fd, (int fd, const char *path, const struct timespec times[2], int flags), (fd, path, times, flags), int, const char *, const struct timespec *, int)
FAILING(int, mkdirat, "mkdirat", fd, (int fd, const char *path, mode_t mode), (fd, path, mode), int, const char *, mode_t)
FAILING(int, unlinkat, "unlinkat", fd, (int fd, const char *path, int flags), (fd, path, flags), int, const char *, int)
FAILING(int, symlinkat, "symlinkat", fd, (const char *target, int fd, const char *path), (target, fd, path), const char *, int, const char *)
FAILING(int, linkat, "linkat", fd, (int fd, const char *old, int to, const char *path, int flags), (fd, old, to, path, flags), int, const char *, int, const char *, int)
FAILING(int, renameat, "renameat", fd, (int fd, const char *old, int to, const char *path), (fd, old, to, path), int, const char *, int, const char *)
FAILING(ssize_t, readlinkat, "readlinkat", fd, (int fd, const char *path, char *target, size_t size), (fd, path, target, size), int, const char *, char *, size_t)
FAILING(ssize_t, flistxattr, "flistxattr", fd, (int fd, char *names, size_t size), (fd, names, size), int, char *, size_t)

/* What could not be written before is told here, and the descriptor is gone all the same. */
int close(int fd) {
    int error = fault(take_written(fd) ? "close-written" : "close", fd);
    int rc;
    REAL(int, close, int);

    rc = real(fd);
    if (error && error != SHORT) {
        errno = error;
        return -1;
    }
    return rc;
}

static int open_at(const char *name, int fd, const char *path, int flags, mode_t mode) {
    int error = fault("openat", fd);
    int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, name);

    if (error && error != SHORT) {
        errno = error;
        return -1;
    }
    return real(fd, path, flags, mode);
}

#define OPENING(name) \
    int name(int fd, const char *path, int flags, ...) { \
        mode_t mode = 0; \
        va_list more; \
        va_start(more, flags); \
        if (flags & (O_CREAT | __O_TMPFILE)) \
            mode = va_arg(more, mode_t); \
        va_end(more); \
        return open_at(#name, fd, path, flags, mode); \
    }

OPENING(openat)
OPENING(openat64)

static int control_file(const char *name, int fd, int command, void *argument) {
    int locks = command == F_OFD_SETLK || command == F_OFD_GETLK;
    int error = locks ? fault("fcntl-lock", fd) : 0;
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);

    if (error && error != SHORT) {
        errno = error;
        return -1;
    }
    return real(fd, command, argument);
}

#define CONTROLLING(name) \
    int name(int fd, int command, ...) { \
        void *argument; \
        va_list more; \
        va_start(more, command); \
        argument = va_arg(more, void *); \
        va_end(more); \
        return control_file(#name, fd, command, argument); \
    }

CONTROLLING(fcntl)
CONTROLLING(fcntl64)

static const char *raw_name(long number) {
    switch (number) {
    case 437:
        return "openat2";
    case 452:
        return "fchmodat2";
    case SYS_statx:
        return "statx";
    case SYS_renameat2:
        return "renameat2";
    case SYS_getdents64:
        return "getdents64";
    default:
        return NULL;
    }
}

/* All that are called by number take a descriptor first. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    const char *name = raw_name(number);
    long a[6];
    int error;
    va_list more;

    va_start(more, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    if (!real)
        real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    error = name ? fault(name, (int)a[0]) : 0;
    if (error && error != SHORT) {
        errno = error;
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
