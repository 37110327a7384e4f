/* Key exchanges: when one is due, what it waits for, that it is complete, and how strict it is. */
#include <errno.h>
#include <string.h>

#include "connection.h"

#include <libssh/kex.h>

#define KEY_EXCHANGE_FAILED 3 /* RFC 4253 section 11.1 */
#define NO_MATCH "Client and server have no algorithm in common"

int sshd_connection_exchanging(sshd_connection *c) {
    return c->session->dh_handshake_state != DH_STATE_FINISHED;
}

/* An exchange takes several packets of the peer, whoever began it: both its ends are seen. */
int sshd_exchange_ended(sshd_connection *c) {
    if (c->exchanging == sshd_connection_exchanging(c))
        return 0;
    c->exchanging = !c->exchanging;
    if (c->exchanging)
        return 0;
    c->exchanges++;
    c->exchange_mark = c->bytes_in + c->bytes_out;
    return 1;
}

void sshd_exchange_watch(sshd_connection *c) {
    if (!sshd_connection_exchanging(c))
        c->exchange_began = 0, c->kept_back = 0;
    else if (c->exchange_began == 0 && c->authenticated)
        c->exchange_began = sshd_now();
}

int sshd_exchange_due(sshd_connection *c) {
    if (c->rekey_threshold == 0 || c->bytes_in + c->bytes_out - c->exchange_mark < c->rekey_threshold ||
        !c->authenticated || sshd_connection_exchanging(c) || c->state != SSHD_OPEN)
        return 0;
    return sshd_connection_rekey(c);
}

int sshd_connection_rekey(sshd_connection *c) {
    if (!c->authenticated || sshd_connection_exchanging(c))
        return -EBUSY;
    return ssh_send_rekex(c->session) == SSH_OK ? 0 : -EIO;
}

void sshd_connection_rekey_threshold(sshd_connection *c, uint64_t bytes) {
    c->rekey_threshold = bytes;
}

/* --- strict key exchange, OpenSSH's PROTOCOL 1.10 --- */

/* Our side of the offer. */
int __real_ssh_kex_append_extensions(ssh_session session, struct ssh_kex_struct *kex);
int __wrap_ssh_kex_append_extensions(ssh_session session, struct ssh_kex_struct *kex);
int __wrap_ssh_kex_append_extensions(ssh_session session, struct ssh_kex_struct *kex) {
    return sshd_connection_of(session)->strict == SSHD_STRICT_NEVER ? 0 : __real_ssh_kex_append_extensions(session, kex);
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), size = strlen(end);
    return length >= size && strcmp(text + length - size, end) == 0;
}

/* A prefix of the messages can be cut out unnoticed (CVE-2023-48795). */
static int is_exposed(const char *cipher, const char *mac) {
    return strcmp(cipher, "chacha20-poly1305@openssh.com") == 0 ||
           (ends_with(cipher, "-cbc") && ends_with(mac, "-etm@openssh.com"));
}

static const char *objection(sshd_connection *c) {
    char **chosen = c->session->next_crypto->kex_methods;

    if (c->strict == SSHD_STRICT_ALWAYS)
        return "Strict key exchange is required here, and the client does not know it";
    if (c->strict == SSHD_STRICT_IF_EXPOSED && (is_exposed(chosen[SSH_CRYPT_C_S], chosen[SSH_MAC_C_S]) ||
                                                is_exposed(chosen[SSH_CRYPT_S_C], chosen[SSH_MAC_S_C])))
        return "The client does not know strict key exchange, and cipher and MAC are not safe without it";
    return NULL;
}

/* libssh takes the client's announcement alone for an agreement, and that of any later exchange as well. */
static const char *agree(sshd_connection *c) {
    const char *text = NULL;

    if (c->exchanges == 0) {
        c->strict_kex = c->strict != SSHD_STRICT_NEVER && c->session->flags & SSH_SESSION_FLAG_KEX_STRICT;
        if (!c->strict_kex)
            text = objection(c);
    }
    c->session->flags &= ~SSH_SESSION_FLAG_KEX_STRICT;
    if (c->strict_kex)
        c->session->flags |= SSH_SESSION_FLAG_KEX_STRICT;
    return text;
}

/* The choice is made: the place to agree on the rest. */
int __real_ssh_kex_select_methods(ssh_session session);
int __wrap_ssh_kex_select_methods(ssh_session session);
int __wrap_ssh_kex_select_methods(ssh_session session) {
    sshd_connection *c = sshd_connection_of(session);
    int rc = __real_ssh_kex_select_methods(session);
    const char *text = rc == SSH_OK ? agree(c) : NO_MATCH;

    if (text == NULL)
        return rc;
    sshd_connection_say_why(c, KEY_EXCHANGE_FAILED, text, strlen(text)); /* behind our offer, which may not be sent yet */
    if (rc == SSH_OK)
        ssh_set_error(session, SSH_FATAL, "%s", text);
    return SSH_ERROR;
}
