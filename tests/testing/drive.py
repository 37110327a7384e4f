"""Six clients behind one face, each run as a program of its own: it may hang, and can be ended then.

    python -m tests.testing.drive CLIENT OPERATION     one operation of a library, as standard input describes it

Operations: `get` /in/data, `put` it as /out/data, `list` /dir, `time` that /in/data was changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from libsshd.testing import Server
from tests.support.command import environment

NODE = Path(__file__).parents[2] / "build" / "node"
DATA = bytes(range(251)) * 1200
"""What is transferred: ten READs and more."""
PATIENCE = 4.0
"""Seconds after which a client is said to wait for ever."""
NAMES = ("one", "two", "three")

Target = dict[str, Any]


# --- libraries, in a process of their own ---


def _paramiko(target: Target, operation: str) -> object:
    import paramiko

    host_key = target["host_key"].split()
    with paramiko.SSHClient() as ssh:
        entry = paramiko.hostkeys.HostKeyEntry.from_line(f"[{target['host']}]:{target['port']} {' '.join(host_key)}")
        assert entry is not None
        assert entry.key is not None
        ssh.get_host_keys().add(f"[{target['host']}]:{target['port']}", host_key[0], entry.key)
        ssh.connect(
            target["host"], target["port"], target["user"], target["password"], look_for_keys=False, allow_agent=False
        )
        with ssh.open_sftp() as sftp:
            if operation == "get":
                sftp.get("/in/data", "got")
            elif operation == "put":
                sftp.put("data", "/out/data")
            elif operation == "list":
                return sftp.listdir("/dir")
            return sftp.stat("/in/data").st_mtime if operation == "time" else None


def _asyncssh(target: Target, operation: str) -> object:
    import asyncssh

    async def work() -> object:
        line = f"[{target['host']}]:{target['port']} {target['host_key']}"
        async with (
            asyncssh.connect(
                target["host"], target["port"], username=target["user"], password=target["password"],
                known_hosts=asyncssh.import_known_hosts(line), client_keys=None, agent_path=None, config=None,
            ) as ssh,
            ssh.start_sftp_client() as sftp,
        ):  # fmt: skip
            if operation == "get":
                await sftp.get("/in/data", "got")
            elif operation == "put":
                await sftp.put("data", "/out/data")
            elif operation == "list":
                return await sftp.listdir("/dir")
            return (await sftp.stat("/in/data")).mtime if operation == "time" else None

    return asyncio.run(work())


def _ssh2(target: Target, operation: str) -> object:
    import base64

    import ssh2.session
    import ssh2.sftp

    session = ssh2.session.Session()
    with socket.create_connection((target["host"], target["port"])) as sock:
        session.handshake(sock)
        key, _ = session.hostkey()
        assert base64.b64encode(key).decode() == target["host_key"].split()[1], "another host key"
        session.userauth_password(target["user"], target["password"])
        sftp = session.sftp_init()
        if operation == "get":
            with sftp.open("/in/data", ssh2.sftp.LIBSSH2_FXF_READ, 0) as file:
                Path("got").write_bytes(b"".join(part for _, part in file))
        elif operation == "put":
            flags = ssh2.sftp.LIBSSH2_FXF_WRITE | ssh2.sftp.LIBSSH2_FXF_CREAT | ssh2.sftp.LIBSSH2_FXF_TRUNC
            with sftp.open("/out/data", flags, 0o644) as file:
                data = Path("data").read_bytes()
                for at in range(0, len(data), 30_000):
                    file.write(data[at : at + 30_000])
        elif operation == "list":
            with sftp.opendir("/dir") as directory:
                return [name.decode() for _, name, _ in directory.readdir()]
        return sftp.stat("/in/data").mtime if operation == "time" else None


_LIBRARIES: dict[str, Callable[[Target, str], object]] = {
    "paramiko": _paramiko,
    "asyncssh": _asyncssh,
    "ssh2-python": _ssh2,
}

_NODE_PROGRAM = """
const Client = require("ssh2-sftp-client");
const target = JSON.parse(require("fs").readFileSync(0));
const operation = process.argv[2];
const sftp = new Client();
(async () => {
  const wanted = target.host_key.split(" ")[1];
  await sftp.connect({host: target.host, port: target.port, username: target.user, password: target.password,
                      readyTimeout: 60000, hostVerifier: (key) => key.toString("base64") === wanted});
  let result = null;
  if (operation === "get") await sftp.fastGet("/in/data", "got");
  if (operation === "put") await sftp.fastPut("data", "/out/data");
  if (operation === "list") result = (await sftp.list("/dir")).map((entry) => entry.name);
  if (operation === "time") result = (await sftp.stat("/in/data")).modifyTime / 1000;
  await sftp.end();
  console.log(JSON.stringify(result));
})().catch((error) => { console.error(String(error)); process.exit(1); });
"""

# --- programs ---

_COMMANDS = {
    "sftp": {
        "get": "get -p /in/data got",
        "put": "put data /out/data",
        "list": "ls -1 /dir",
        "time": "get -p /in/data got",
    },
    "lftp": {
        "get": "get /in/data -o got",
        "put": "put data -o /out/data",
        "list": "cls -1 /dir",
        "time": "get /in/data -o got",
    },
}


def has_node() -> bool:
    return shutil.which("node") is not None and (NODE / "node_modules" / "ssh2-sftp-client").exists()


CLIENTS = ("sftp", "lftp", "paramiko", "asyncssh", "ssh2-python", "ssh2-sftp-client")


def _argv(client: str, operation: str, server: Server) -> tuple[list[str], bytes]:
    target = {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": server.password,
        "host_key": server.host_key.public_line,
    }
    if client == "sftp":
        return [*server.openssh(), "-b", "-", server.host], _COMMANDS[client][operation].encode() + b"\n"
    if client == "lftp":
        ssh = " ".join([*server.openssh("ssh -a -x")]).replace(" -P ", " -p ")
        lines = [
            "set cmd:fail-exit yes", "set net:max-retries 1", "set net:reconnect-interval-base 1",
            "set xfer:clobber yes", f'set sftp:connect-program "{ssh}"',
            f"open sftp://{server.user}:unused@{server.host}:{server.port}", _COMMANDS[client][operation],
        ]  # fmt: skip
        return ["lftp", "--norc"], "\n".join(lines).encode() + b"\n"
    described = json.dumps(target).encode()
    if client == "ssh2-sftp-client":
        return ["node", "-e", _NODE_PROGRAM, "--", "x", operation], described
    return [sys.executable, "-m", "tests.testing.drive", client, operation], described


def drive(client: str, operation: str, server: Server, place: Path, patience: float = PATIENCE) -> str:
    """What becomes of an operation: "right", "wrong" without an error, "error", or "waits"."""
    place.mkdir()
    (place / "data").write_bytes(DATA)
    argv, given = _argv(client, operation, server)
    root = str(Path(__file__).parents[2])
    env = environment(place) | {"PYTHONPATH": root, "NODE_PATH": str(NODE / "node_modules"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        argv, cwd=place, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(given, timeout=patience)
    except subprocess.TimeoutExpired:
        return "waits"
    finally:
        _end(process)
    if process.returncode:
        return "error"
    return "right" if _is_right(client, operation, server, place, output.decode("utf-8", "replace")) else "wrong"


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _is_right(client: str, operation: str, server: Server, place: Path, output: str) -> bool:
    if operation == "get":
        return (place / "got").exists() and (place / "got").read_bytes() == DATA
    if operation == "put":
        return "out/data" in server.fs and server.fs["out/data"] == DATA
    programs = client in _COMMANDS
    if operation == "time":
        found = (place / "got").stat().st_mtime if programs else json.loads(output)
        return int(found) == 1_000_000_000
    names = (
        re.findall(r"(?:/dir/)?(\S+)", re.sub(r"^sftp>.*$", "", output, flags=re.MULTILINE))
        if programs
        else json.loads(output)
    )
    return sorted(set(names) - {".", ".."}) == sorted(NAMES)


def main() -> None:
    client, operation = sys.argv[1:]
    print(json.dumps(_LIBRARIES[client](json.load(sys.stdin), operation)))


if __name__ == "__main__":
    main()
