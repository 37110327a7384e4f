"""Serves the current directory to bob, whose password is "secret". Ctrl-C ends it."""

from libsshd import HostKey, SFTPServer, SSHUserAuthRequest

server = SFTPServer(root_directory=".", local_host="127.0.0.1", local_port=0, host_keys=[HostKey.generate()])


@server.on_ssh_user_auth_request
def login(e: SSHUserAuthRequest) -> None:
    e.accept = e.auth_method == "password" and (e.user, e.auth_param) == ("bob", "secret")


with server:
    print(server.url)
    server.serve_forever()
