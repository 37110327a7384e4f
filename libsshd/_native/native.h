/* cdef.h for C: cffi reads that file as it stands, so the guard is here. */
#ifndef SSHD_NATIVE_H
#define SSHD_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#include "cdef.h"

#endif
