/* Host keys: read, made, written and shown by libssh. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libssh_internal.h"

#include "hostkey.h"

static int key_wrap(ssh_key key, sshd_key **out) {
    sshd_key *wrapped = calloc(1, sizeof *wrapped);

    if (wrapped == NULL) {
        ssh_key_free(key);
        return -ENOMEM;
    }
    wrapped->key = key;
    *out = wrapped;
    return 0;
}

/* An encrypted key without its passphrase is refused, never asked for on a terminal. */
static int no_prompt(const char *prompt, char *buffer, size_t length, int echo, int verify, void *user) {
    (void)prompt, (void)buffer, (void)length, (void)echo, (void)verify, (void)user;
    return -1;
}

int sshd_key_import(const char *text, const char *passphrase, sshd_key **out) {
    ssh_key key = NULL;

    if (ssh_pki_import_privkey_base64(text, passphrase, no_prompt, NULL, &key) != SSH_OK)
        return -EINVAL;
    return key_wrap(key, out);
}

int sshd_key_generate(const char *type, int bits, sshd_key **out) {
    enum ssh_keytypes_e kind = ssh_key_type_from_name(type);
    ssh_pki_ctx context = ssh_pki_ctx_new();
    ssh_key key = NULL;
    int rc = -ENOMEM;

    if (context == NULL)
        goto end;
    rc = -EINVAL;
    if (kind == SSH_KEYTYPE_RSA && ssh_pki_ctx_options_set(context, SSH_PKI_OPTION_RSA_KEY_SIZE, &bits) != SSH_OK)
        goto end;
    if (kind == SSH_KEYTYPE_UNKNOWN || ssh_pki_generate_key(kind, context, &key) != SSH_OK)
        goto end;
    rc = key_wrap(key, out);
end:
    ssh_pki_ctx_free(context);
    return rc;
}

void sshd_key_free(sshd_key *key) {
    ssh_key_free(key->key);
    free(key);
}

const char *sshd_key_type(sshd_key *key) {
    return ssh_key_type_to_char(ssh_key_type(key->key));
}

int sshd_blob_copy(ssh_key key, uint8_t *buffer, size_t size) {
    ssh_string blob = NULL;
    size_t length;
    int rc = -EINVAL;

    if (ssh_pki_export_pubkey_blob(key, &blob) != SSH_OK)
        goto end;
    length = ssh_string_len(blob);
    rc = -ENOSPC;
    if (length > size)
        goto end;
    memcpy(buffer, ssh_string_data(blob), length);
    rc = (int)length;
end:
    ssh_string_free(blob);
    return rc;
}

int sshd_key_public_blob(sshd_key *key, uint8_t *buffer, size_t size) {
    return sshd_blob_copy(key->key, buffer, size);
}

/* Writes the private key as OpenSSH does, with its final NUL; the length without it. */
int sshd_key_export(sshd_key *key, char *buffer, size_t size) {
    char *text = NULL;
    size_t length;
    int rc = -EINVAL;

    if (ssh_pki_export_privkey_base64_format(key->key, NULL, NULL, NULL, &text, SSH_FILE_FORMAT_OPENSSH) != SSH_OK)
        goto end;
    length = strlen(text);
    rc = -ENOSPC;
    if (length >= size)
        goto end;
    memcpy(buffer, text, length + 1);
    rc = (int)length;
end:
    if (text != NULL) {
        ssh_burn(text, strlen(text));
        ssh_string_free_char(text);
    }
    return rc;
}
