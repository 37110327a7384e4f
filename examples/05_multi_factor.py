"""Two factors: a password, then the six digits that an authenticator shows (RFC 6238).

Bob's password is "secret", and his authenticator was set up with the key below.
"""

import base64
import hmac
import time

from libsshd import HostKey, SFTPServer, SSHUserAuthRequest

KEY = base64.b32decode("JBSWY3DPEHPK3PXP")

server = SFTPServer(
    root_directory=".",
    local_host="127.0.0.1",
    local_port=0,
    host_keys=[HostKey.generate()],
    default_auth_methods="password",
    keyboard_interactive_message="Look at your authenticator.",
)
server.keyboard_interactive_prompts.add("Six digits: ", echo=True)


def digits(period: int) -> str:
    mac = hmac.digest(KEY, period.to_bytes(8, "big"), "sha1")
    start = mac[-1] & 15
    return f"{(int.from_bytes(mac[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def is_shown_now(answer: str) -> bool:
    """A clock may be half a minute wrong."""
    period = int(time.time()) // 30
    return answer.isascii() and any(hmac.compare_digest(answer, digits(period + late)) for late in (-1, 0, 1))


@server.on_ssh_user_auth_request
def login(e: SSHUserAuthRequest) -> None:
    state = server.sftp_connections[e.connection_id].state
    if e.auth_method == "password" and (e.user, e.auth_param) == ("bob", "secret"):
        state["password"] = True
        e.partial_success = True
        e.available_methods = "keyboard-interactive"
    elif e.auth_method == "keyboard-interactive-1":
        e.accept = is_shown_now(e.auth_param)
    elif e.auth_method == "keyboard-interactive":  # every answer was judged; "password" must have gone before
        e.accept = state.get("password", False)


with server:
    print(server.url)
    server.serve_forever()
