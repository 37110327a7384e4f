"""A file system that is a dict: there is no root directory, so handlers answer everything."""

from libsshd import FileType, HostKey, OpenFlags, SFTPServer, Status
from libsshd import events as on

files: dict[str, bytearray] = {"/hello.txt": bytearray(b"Hello!\n")}
server = SFTPServer(local_host="127.0.0.1", local_port=0, host_keys=[HostKey.generate()])
clients = server.sftp_connections


@server.on_ssh_user_auth_request
def login(e: on.SSHUserAuthRequest) -> None:
    e.accept = e.auth_method == "password" and (e.user, e.auth_param) == ("bob", "secret")


@server.on_dir_list
def names(e: on.DirList) -> None:
    server.set_file_list(e.connection_id, "\r\n".join(path[1:] for path in files))


@server.on_get_attributes
def attributes(e: on.GetAttributes) -> None:
    e.status_code = Status.OK if e.path in ("/", *files) else Status.NO_SUCH_FILE
    e.file_type = FileType.DIRECTORY if e.path == "/" else FileType.REGULAR
    e.file_size = len(files.get(e.path, b""))


@server.on_file_open
def open_file(e: on.FileOpen) -> None:
    if e.path in files or (e.flags & OpenFlags.CREAT and e.path.count("/") == 1):  # there are no directories
        data = clients[e.connection_id].state[e.handle] = files.setdefault(e.path, bytearray())
        if e.flags & OpenFlags.TRUNC:
            data.clear()
    else:
        e.status_code = Status.NO_SUCH_FILE


@server.on_file_read
def read(e: on.FileRead) -> None:
    client = clients[e.connection_id]
    client.file_data = bytes(client.state[e.handle][e.file_offset :][: e.length])  # empty: end of file


@server.on_file_write
def write(e: on.FileWrite) -> None:
    data, new = clients[e.connection_id].state[e.handle], clients[e.connection_id].file_data
    if e.file_offset + len(new) <= 1 << 20:  # clients must not fill the memory
        data.extend(bytes(max(0, e.file_offset - len(data))))  # a gap is zeros
        data[e.file_offset : e.file_offset + len(new)] = new
    else:
        e.status_code = Status.QUOTA_EXCEEDED


server.on_file_close = lambda e: clients[e.connection_id].state.pop(e.handle, None)
server.on_file_remove = lambda e: files.pop(e.path, None)

with server:
    print(server.url)
    server.serve_forever()
