/* The process as a whole: what it gives up, once, before its first thread. */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"
#include "path.h"

/* What the system's headers may be too old to name; these numbers are the same on every architecture but Alpha. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define CREATE_RULESET_VERSION 1
#define RULE_PATH_BENEATH 1

/* struct landlock_ruleset_attr of linux/landlock.h as of ABI 6. An older kernel takes it while what it does not know is 0. */
struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scopes;
};

/* struct landlock_path_beneath_attr */
struct beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

int sshd_process_conceal(void) {
    return sshd_outcome(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

int sshd_process_no_new_privileges(void) {
    return sshd_outcome(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int sshd_process_drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}};

    return sshd_outcome(syscall(SYS_capset, &header, none));
}

int sshd_landlock_version(void) {
    return sshd_outcome(syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION));
}

int sshd_landlock_ruleset(uint64_t files, uint64_t scopes) {
    struct ruleset attributes = {.files = files, .scopes = scopes};

    return sshd_outcome(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
}

int sshd_landlock_allow(int ruleset, int fd, uint64_t files) {
    struct beneath rule = {.allowed = files, .fd = fd};

    return sshd_outcome(syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0));
}

int sshd_landlock_enforce(int ruleset) {
    return sshd_outcome(syscall(SYS_landlock_restrict_self, ruleset, 0));
}
