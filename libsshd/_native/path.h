/*
 * Paths below one root directory.
 *
 * Every function takes the root's descriptor and a virtual path ("/a/b"). Nothing outside the root is reachable, whatever
 * the path or a link holds and whoever renames meanwhile. Results are 0, a count or a descriptor, or a negative errno.
 * walk != 0 resolves component by component even where the kernel has openat2.
 */
#ifndef SSHD_PATH_H
#define SSHD_PATH_H

#include "native.h"

#endif
