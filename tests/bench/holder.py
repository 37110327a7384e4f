"""Holds SFTP sessions open, all in one process: `python -m tests.bench.holder PORT USER KEY`.

It is driven by lines on stdin and answers each with "done" once it is carried out:
`open N` opens N connections with one SFTP channel each; `move FILE` lets every session download FILE and
upload what it got, and checks one upload; `close` closes them all. End of input ends it.

One process, started before memory is first measured: the pages of shared libraries are divided by the number
of processes that map them, so a crowd of clients would make the server look smaller.
"""

from __future__ import annotations

import asyncio
import sys

import asyncssh

from .client import GCM

AT_ONCE = 4


class Holder:
    def __init__(self, port: int, user: str, key: str) -> None:
        self._port = port
        self._user = user
        self._key = key
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._connections: list[asyncssh.SSHClientConnection] = []
        self._sessions: list[asyncssh.SFTPClient] = []

    async def open(self, count: int) -> None:
        await asyncio.gather(*(self._open_one() for _ in range(count)))

    async def _open_one(self) -> None:
        async with self._turn:
            connection = await asyncssh.connect(
                "127.0.0.1",
                self._port,
                username=self._user,
                client_keys=[self._key],
                known_hosts=None,
                agent_path=None,
                config=[],
                encryption_algs=[GCM],
            )
            self._connections.append(connection)
            self._sessions.append(await connection.start_sftp_client())

    async def move(self, name: str) -> None:
        await asyncio.gather(*(self._move_one(n, name) for n in range(len(self._sessions))))

    async def _move_one(self, number: int, name: str) -> None:
        session, copy = self._sessions[number], f"moved-{number}"
        async with self._turn:
            async with session.open(name, "rb") as source:
                data = await source.read()
            async with session.open(copy, "wb") as target:
                await target.write(data)
            if number == 0:
                async with session.open(copy, "rb") as again:
                    if await again.read() != data:
                        raise ValueError("the uploaded file is not what was sent")
            await session.remove(copy)

    async def close(self) -> None:
        for connection in self._connections:
            connection.close()
        for connection in self._connections:
            await connection.wait_closed()
        self._connections.clear()
        self._sessions.clear()


async def obey(holder: Holder) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match line.split():
            case ["open", count]:
                await holder.open(int(count))
            case ["move", name]:
                await holder.move(name)
            case ["close"]:
                await holder.close()
        print("done", flush=True)


async def main(port: str, user: str, key: str) -> None:
    await obey(Holder(int(port), user, key))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
