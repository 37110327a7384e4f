"""A drop box: uploads only into /inbox, no programs, nothing is replaced or removed; every upload is reported."""

from pathlib import Path

from libsshd import HostKey, OpenFlags, SFTPServer, Status
from libsshd import events as on

Path("box", "inbox").mkdir(parents=True, exist_ok=True)
server = SFTPServer(root_directory="box", local_host="127.0.0.1", local_port=0, host_keys=[HostKey.generate()])


@server.on_ssh_user_auth_request
def login(e: on.SSHUserAuthRequest) -> None:
    e.accept = e.auth_method == "password" and (e.user, e.auth_param) == ("bob", "secret")


def deny(e: on.FileEvent, reason: str) -> None:
    server.sftp_connections[e.connection_id].sftp_error_message = reason
    e.status_code = Status.PERMISSION_DENIED


@server.on_file_open
def check(e: on.FileOpen) -> None:
    if not e.before_exec or not e.flags & (OpenFlags.WRITE | OpenFlags.CREAT | OpenFlags.TRUNC):
        return
    if not e.path.startswith("/inbox/"):
        deny(e, "Put it into /inbox")
    elif e.path.lower().endswith((".exe", ".com", ".bat")):
        deny(e, "No programs, please")
    elif Path("box" + e.path).exists():
        deny(e, "There is a file of that name")


@server.on_set_attributes
def keep(e: on.SetAttributes) -> None:
    if e.before_exec and (e.file_size >= 0 or not e.path.startswith("/inbox/")):
        deny(e, "Sizes and directories stay as they are")


for hook in (server.on_dir_create, server.on_dir_remove, server.on_file_remove, server.on_file_rename):
    hook.add(lambda e: deny(e, "What is here stays as it is"))


@server.on_file_close
def report(e: on.FileClose) -> None:
    print("complete", e.path)


@server.on_file_aborted
def report_aborted(e: on.FileAborted) -> None:
    print("incomplete", e.path, e.bytes_written)


with server:
    print(server.url)
    server.serve_forever()
