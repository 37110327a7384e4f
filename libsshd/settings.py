"""One table of what can be set: name, type, default and meaning."""

from dataclasses import dataclass

from libsshd.version import __version__


@dataclass(slots=True)
class Settings:
    """Times are seconds, sizes bytes; 0 means no limit (of a buffer: the system's size) unless stated.

    Algorithm lists are comma lists in order of preference; post-quantum key exchange comes first.
    """

    root_directory: str = ""
    local_host: str = ""
    local_port: int = 22
    read_only: bool = False

    connection_backlog: int = 128
    max_connections: int = 1000
    max_startups: int = 0
    login_timeout: float = 60.0
    max_auth_attempts: int = 6
    failure_delay: float = 0.3
    stall_timeout: float = 300.0
    max_handles_per_channel: int = 256
    max_handles_per_connection: int = 1024
    in_buffer_size: int = 0
    out_buffer_size: int = 0

    default_auth_methods: str = "password,publickey"
    server_ssh_version_string: str = f"SSH-2.0-libsshd_{__version__}"
    ssh_key_exchange_algorithms: str = (
        "mlkem768x25519-sha256,sntrup761x25519-sha512,sntrup761x25519-sha512@openssh.com,"
        "curve25519-sha256,curve25519-sha256@libssh.org,"
        "diffie-hellman-group18-sha512,diffie-hellman-group16-sha512"
    )
    ssh_encryption_algorithms: str = (
        "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr"
    )
    ssh_mac_algorithms: str = (
        "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256,hmac-sha2-512"
    )
    ssh_public_key_algorithms: str = (
        "ssh-ed25519,ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"
    )
    ssh_pub_key_auth_sig_algorithms: str = (
        "ssh-ed25519,sk-ssh-ed25519@openssh.com,sk-ecdsa-sha2-nistp256@openssh.com,"
        "ecdsa-sha2-nistp521,ecdsa-sha2-nistp384,ecdsa-sha2-nistp256,rsa-sha2-512,rsa-sha2-256"
    )
