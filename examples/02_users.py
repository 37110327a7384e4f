"""Several users, by password or by key, each in a directory of its own below ./users.

The key of a user is looked for in ./keys/NAME.pub, a file as ssh-keygen makes it.
"""

import hashlib
import hmac
from pathlib import Path

from libsshd import HostKey, SFTPServer, SSHUserAuthRequest


def digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogateescape"), salt=salt, n=2**14, r=8, p=1)


PASSWORDS = {name: digest(password, name.encode()) for name, password in (("alice", "wonder"), ("bob", "builder"))}
NOBODY = digest("", b"nobody")

for name in PASSWORDS:
    Path("users", name).mkdir(parents=True, exist_ok=True)
server = SFTPServer(root_directory="users", local_host="127.0.0.1", local_port=0, host_keys=[HostKey.generate()])


def is_password(user: str, password: str) -> bool:
    """Takes the same time whether there is such a user or not."""
    offered = digest(password, user.encode("utf-8", "surrogateescape"))
    return hmac.compare_digest(offered, PASSWORDS.get(user, NOBODY)) and user in PASSWORDS


def is_key(user: str, key: str) -> bool:
    """The server calls this for the offer and for the login, and checks the signature itself."""
    file = Path("keys", f"{user}.pub")
    return user in PASSWORDS and file.exists() and key in file.read_text().split()


@server.on_ssh_user_auth_request
def login(e: SSHUserAuthRequest) -> None:
    if e.auth_method == "password":
        e.accept = is_password(e.user, e.auth_param)
    elif e.auth_method == "publickey":
        e.accept = is_key(e.user, e.auth_param)
    if e.accept:
        server.sftp_connections[e.connection_id].user_root_directory = e.user


with server:
    print(server.url)
    server.serve_forever()
