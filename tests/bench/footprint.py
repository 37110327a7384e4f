"""What a server process holds at a moment: memory, descriptors, threads, and what the kernel holds for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .process import pss_kib
from .workspace import BenchError

KERNEL_STACK = 16  # KiB of a thread (x86-64, arm64)
PAGE = os.sysconf("SC_PAGE_SIZE") // 1024  # KiB


@dataclass(frozen=True)
class Footprint:
    """Memory in KiB. `sockets` is what all TCP sockets of the machine have in their buffers, the clients' too."""

    memory: int
    descriptors: int
    threads: int
    mappings: int
    page_tables: int
    sockets: int

    @property
    def kernel(self) -> int:
        """What the kernel holds beside the memory of the process."""
        return self.threads * KERNEL_STACK + self.page_tables + self.sockets


def footprint(pid: int) -> Footprint:
    """Raises OSError when the process is gone, BenchError when one may not look at it."""
    place = Path(f"/proc/{pid}")
    if not os.access(place / "fd", os.R_OK):
        raise BenchError("only root may see what the server holds")
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    tcp = next(line for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    words = tcp.split()
    return Footprint(
        memory=pss_kib(pid),
        descriptors=len(os.listdir(place / "fd")),
        threads=int(status["Threads"]),
        mappings=len((place / "maps").read_text().splitlines()),
        page_tables=int(status["VmPTE"].split()[0]),
        sockets=int(words[words.index("mem") + 1]) * PAGE,
    )
