#ifndef SSHD_HOSTKEY_H
#define SSHD_HOSTKEY_H

#include <stddef.h>
#include <stdint.h>

#include <libssh/libssh.h>

#include "native.h"

struct sshd_key {
    ssh_key key;
};

/* Copies the public blob of a key (RFC 4253 section 6.6); its length, or -ENOSPC. */
int sshd_blob_copy(ssh_key key, uint8_t *buffer, size_t size);

#endif
