"""A program with a loop of its own: handlers run one at a time, on its thread, when it calls do_events()."""

import threading
import time

from libsshd import FileClose, HostKey, SFTPServer, SSHUserAuthRequest

server = SFTPServer(
    root_directory=".",
    local_host="127.0.0.1",
    local_port=0,
    host_keys=[HostKey.generate()],
    process_idle_events=False,
    select_wait_millis=50,
)
closed: list[str] = []  # only this thread touches it: no lock is needed


@server.on_ssh_user_auth_request
def login(e: SSHUserAuthRequest) -> None:
    e.accept = e.auth_method == "password" and (e.user, e.auth_param) == ("bob", "secret")


@server.on_file_close
def note(e: FileClose) -> None:
    assert threading.current_thread() is threading.main_thread()
    closed.append(e.path)


with server:
    print(server.url)
    due = time.monotonic()
    while server.listening:
        server.do_events()  # returns after 50 ms when nothing happens
        if closed and time.monotonic() > due:
            print("closed:", ", ".join(closed))
            closed.clear()
            due = time.monotonic() + 1
