/* The process as a whole. */
#include <errno.h>
#include <sys/prctl.h>

#include "native.h"

int sshd_process_conceal(void) {
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}
