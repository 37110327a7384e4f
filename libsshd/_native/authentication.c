/* What authentication needs of libssh: the check of a signature, our host key, the message of success. */
#include <errno.h>

#include "connection.h"
#include "hostkey.h"

static ssh_string string_of(const uint8_t *data, size_t length) {
    ssh_string string = ssh_string_new(length);

    if (string != NULL)
        ssh_string_fill(string, data, length);
    return string;
}

/* Only keys of a security key need it; their certificates are refused before. */
static int has_user_presence(ssh_key key, ssh_signature signature) {
    int is_sk = key->type == SSH_KEYTYPE_SK_ECDSA || key->type == SSH_KEYTYPE_SK_ED25519;

    return !is_sk || (signature->sk_flags & 0x01);
}

/* 1 when the signature over the session id and `payload` (RFC 4252 section 7) was made by the key in `blob`.
 * Certificates are refused: only their signature would be checked, neither authority nor validity. */
int sshd_connection_verify(sshd_connection *c, const uint8_t *payload, size_t signed_length,
                           const uint8_t *blob, size_t blob_length, const uint8_t *signature, size_t signature_length) {
    struct ssh_crypto_struct *crypto = c->session->current_crypto;
    ssh_string key_blob = string_of(blob, blob_length);
    ssh_string signature_blob = string_of(signature, signature_length);
    ssh_buffer data = ssh_buffer_new();
    ssh_signature parsed = NULL;
    ssh_key key = NULL;
    int rc = -ENOMEM;

    if (key_blob == NULL || signature_blob == NULL || data == NULL)
        goto end;
    rc = 0;
    if (crypto == NULL || ssh_pki_import_pubkey_blob(key_blob, &key) != SSH_OK || is_cert_type(key->type))
        goto end;
    if (ssh_pki_import_signature_blob(signature_blob, key, &parsed) != SSH_OK || !has_user_presence(key, parsed))
        goto end;
    if (ssh_buffer_pack(data, "dPP", (uint32_t)crypto->session_id_len, crypto->session_id_len, crypto->session_id,
                        signed_length, payload) != SSH_OK)
        goto end;
    rc = ssh_pki_signature_verify(c->session, parsed, key, ssh_buffer_get(data), ssh_buffer_get_len(data)) == SSH_OK;
end:
    ssh_signature_free(parsed);
    ssh_key_free(key);
    ssh_buffer_free(data);
    ssh_string_free(signature_blob);
    ssh_string_free(key_blob);
    return rc;
}

/* The blob of the host key this connection was set up with; its length, or a negative errno. */
int sshd_connection_host_key(sshd_connection *c, uint8_t *buffer, size_t size) {
    struct ssh_crypto_struct *crypto = c->session->current_crypto;

    if (crypto == NULL)
        return -EINVAL;
    return sshd_blob_copy(crypto->server_pubkey, buffer, size);
}

int sshd_connection_authenticated(sshd_connection *c) {
    if (c->state != SSHD_OPEN || ssh_auth_reply_success(c->session, 0) == SSH_ERROR)
        return -EPIPE;
    c->authenticated = 1;
    c->patience.requested = c->patience.slept;
    return 0;
}
