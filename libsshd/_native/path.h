/*
 * Paths below one root directory.
 *
 * Every function takes the root's descriptor and a virtual path ("/a/b"). Nothing outside the root is reachable, whatever
 * the path or a link holds and whoever renames meanwhile. Results are 0, a count or a descriptor, or a negative errno.
 * `rules` are SSHD_RULE_... bits: WALK resolves component by component even where the kernel has openat2; BENEATH denies
 * with EACCES whatever an absolute link or ".." takes to or above the root, before anything there is looked at.
 */
#ifndef SSHD_PATH_H
#define SSHD_PATH_H

#include <errno.h>
#include <sys/types.h>

#include "native.h"

static inline int sshd_outcome(long result) {
    return result < 0 ? -errno : (int)result;
}

int sshd_is_type(int fd, mode_t type);

/* The last name of a path and the directory it stands in. */
typedef struct {
    int root;
    int parent;
    const char *name; /* into the caller's path */
} sshd_leaf;

/* Opens the parent of `path`. Paths without a last name, such as "/", fail with -at_root. */
int sshd_leaf_open(sshd_leaf *leaf, int root, const char *path, int at_root, int rules);
void sshd_leaf_close(sshd_leaf *leaf);

#endif
