/* The keys and algorithms that the sessions of one server start with. */
#include "bind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "hostkey.h"
#include "libssh_internal.h"

#include <libssh/kex.h>

int sshd_library_init(void) {
    return ssh_init() == SSH_OK ? 0 : -EIO;
}

const char *sshd_libssh_version(void) {
    return ssh_version(0);
}

const char *sshd_supported(int list) {
    static const enum ssh_kex_types_e kinds[] = {
        [SSHD_LIST_KEX] = SSH_KEX,           [SSHD_LIST_KEYS] = SSH_HOSTKEYS,
        [SSHD_LIST_CIPHERS] = SSH_CRYPT_C_S, [SSHD_LIST_MACS] = SSH_MAC_C_S,
        [SSHD_LIST_COMPRESSION] = SSH_COMP_C_S,
    };

    return ssh_kex_get_supported_method(kinds[list]);
}

const char *sshd_openssl_version(void) {
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

/* --- the budget --- */

sshd_budget *sshd_budget_new(int64_t most) {
    sshd_budget *b = calloc(1, sizeof *b);

    if (b != NULL)
        atomic_init(&b->most, most);
    return b;
}

void sshd_budget_free(sshd_budget *b) {
    free(b);
}

void sshd_budget_limit(sshd_budget *b, int64_t most) {
    atomic_store(&b->most, most);
}

int64_t sshd_budget_used(sshd_budget *b) {
    return atomic_load(&b->used);
}

int sshd_budget_take(sshd_budget *b, int64_t bytes) {
    if (atomic_fetch_add(&b->used, bytes) + bytes <= atomic_load(&b->most))
        return 1;
    atomic_fetch_sub(&b->used, bytes);
    return 0;
}

void sshd_budget_give(sshd_budget *b, int64_t bytes) {
    atomic_fetch_sub(&b->used, bytes);
}

/* --- the bind --- */

sshd_bind *sshd_bind_new(sshd_budget *budget) {
    bool process_config = false;
    sshd_bind *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    b->bind = ssh_bind_new();
    if (b->bind == NULL || ssh_bind_options_set(b->bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &process_config) != SSH_OK) {
        ssh_bind_free(b->bind);
        free(b);
        return NULL;
    }
    pthread_mutex_init(&b->lock, NULL);
    b->budget = budget;
    return b;
}

void sshd_bind_free(sshd_bind *b) {
    ssh_bind_free(b->bind);
    free(b->compression);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* The bind gets a copy: libssh frees the key it holds. */
int sshd_bind_add_key(sshd_bind *b, sshd_key *key) {
    ssh_key copy = ssh_key_dup(key->key);

    if (copy == NULL)
        return -ENOMEM;
    if (ssh_bind_options_set(b->bind, SSH_BIND_OPTIONS_IMPORT_KEY, copy) == SSH_OK)
        return 0;
    ssh_key_free(copy);
    return -EINVAL;
}

static int compress(ssh_session session, const char *list) {
    return ssh_options_set(session, SSH_OPTIONS_COMPRESSION_C_S, list) == SSH_OK &&
                   ssh_options_set(session, SSH_OPTIONS_COMPRESSION_S_C, list) == SSH_OK
               ? 0
               : -EINVAL;
}

/* Tried on a session that nobody uses: one that a client waits for is too late to find out. */
static int set_compression(sshd_bind *b, const char *list) {
    ssh_session probe = ssh_new();
    char *copy = strdup(list);
    int rc = -ENOMEM;

    if (probe == NULL || copy == NULL)
        goto end;
    rc = compress(probe, list);
    if (rc < 0) {
        ssh_set_error(b->bind, SSH_REQUEST_DENIED, "%s", ssh_get_error(probe));
        goto end;
    }
    free(b->compression);
    b->compression = copy;
    copy = NULL;
end:
    free(copy);
    ssh_free(probe);
    return rc;
}

int sshd_bind_algorithms(sshd_bind *b, const sshd_algorithms *a) {
    const struct {
        enum ssh_bind_options_e option;
        const char *value;
    } options[] = {
        {SSH_BIND_OPTIONS_BANNER, a->version},
        {SSH_BIND_OPTIONS_KEY_EXCHANGE, a->kex},
        {SSH_BIND_OPTIONS_CIPHERS_C_S, a->ciphers},
        {SSH_BIND_OPTIONS_CIPHERS_S_C, a->ciphers},
        {SSH_BIND_OPTIONS_HMAC_C_S, a->macs},
        {SSH_BIND_OPTIONS_HMAC_S_C, a->macs},
        {SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, a->host_keys},
        {SSH_BIND_OPTIONS_PUBKEY_ACCEPTED_KEY_TYPES, a->public_keys},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (options[i].value != NULL && ssh_bind_options_set(b->bind, options[i].option, options[i].value) != SSH_OK)
            return -EINVAL;
    }
    return a->compression == NULL ? 0 : set_compression(b, a->compression);
}

const char *sshd_bind_error(sshd_bind *b) {
    return ssh_get_error(b->bind);
}

int sshd_bind_accept(sshd_bind *b, ssh_session session, int fd) {
    int rc;

    if (compress(session, b->compression == NULL ? "none" : b->compression) < 0)
        return -EINVAL;
    pthread_mutex_lock(&b->lock);
    rc = ssh_bind_accept_fd(b->bind, session, fd);
    pthread_mutex_unlock(&b->lock);
    return rc == SSH_OK ? 0 : -EIO;
}
