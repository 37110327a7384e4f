#ifndef SSHD_HOSTKEY_H
#define SSHD_HOSTKEY_H

#include <stddef.h>
#include <stdint.h>

#include <libssh/libssh.h>

#include "native.h"

struct sshd_key {
    ssh_key key;
};

#endif
