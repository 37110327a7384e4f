/* The internal headers of the one libssh release that is linked in. */
#ifndef SSHD_LIBSSH_INTERNAL_H
#define SSHD_LIBSSH_INTERNAL_H

#include "config.h"

#include <libssh/libssh.h>
#include <libssh/server.h>

#include <libssh/priv.h>

#include <libssh/buffer.h>
#include <libssh/crypto.h>
#include <libssh/misc.h>
#include <libssh/packet.h>
#include <libssh/pki.h>
#include <libssh/session.h>
#include <libssh/socket.h>
#include <libssh/ssh2.h>
#include <libssh/string.h>

#endif
