"""Profiles of algorithms: what is offered besides the defaults of the settings, by name."""

from typing import Any

PROFILES: dict[str, dict[str, Any]] = {
    "default": {},
    "strict": {
        "ssh_key_exchange_algorithms": (
            "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com"
        ),
        "ssh_encryption_algorithms": "aes256-gcm@openssh.com,aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr",
        "ssh_mac_algorithms": "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com",
        "ssh_public_key_algorithms": "ssh-ed25519,rsa-sha2-512,rsa-sha2-256",
        "ssh_pub_key_auth_sig_algorithms": "ssh-ed25519,sk-ssh-ed25519@openssh.com,rsa-sha2-512,rsa-sha2-256",
        "use_strict_key_exchange": 2,
    },
}
"""Properties by profile. `strict` has what ssh-audit has no word against: only key exchange that resists quantum
computers, no curves of NIST, no MAC beside the plain text, nothing the Terrapin attack works on."""
