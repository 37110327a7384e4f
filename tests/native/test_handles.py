"""The core's table of handles: names are bytes, found exactly or not at all."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from errno import EEXIST, EINVAL, ENOENT

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libsshd._native import EventKind, HandleStats, Pipe, Sftp
from tests.support.stdio import Scratch

from .engine import END, EOF_TEMPLATE, OK_TEMPLATE, READ_WRITE, Files, data, exchange, packet, read, write

NAMES = (b"\x00", b"\x00\x00", b"1", b"11", b"12", b"2", b"\xff" * 255, b"\xff" * 256, b"a\x00b", b"a\x00c")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    with Scratch() as scratch:
        yield Pipe(scratch.fd, scratch.fd, OK_TEMPLATE, EOF_TEMPLATE)


def content(name: bytes) -> bytes:
    return b"content of " + name


def test_every_handle_leads_to_its_own_file(files: Files) -> None:
    for name in NAMES:
        files.add(name, content(name))
    order = [*NAMES, *reversed(NAMES), *NAMES[::3]]
    outcome = exchange(files, b"".join(read(i, name, 0, 1000) for i, name in enumerate(order)))
    assert outcome.replies == b"".join(data(i, content(name)) for i, name in enumerate(order))
    assert outcome.events == [END]


def test_handles_of_0_to_300_bytes_are_unknown_unless_they_are_the_name_itself(files: Files) -> None:
    file = files.add(b"h" * 256, b"content")
    unknown = [b"h" * size for size in range(301) if size != 256] + [b"h" * 255 + b"\0", b"\0" * 256]
    requests = [make(7, name) for name in unknown for make in (_read, _write)]
    outcome = exchange(files, b"".join(requests) + read(8, b"h" * 256, 0, 7))
    assert outcome.events == [packet(request[4:]) for request in requests] + [END]
    assert outcome.replies == data(8, b"content")
    assert file.content() == b"content"


def _read(request_id: int, handle: bytes) -> bytes:
    return read(request_id, handle, 0, 7)


def _write(request_id: int, handle: bytes) -> bytes:
    return write(request_id, handle, 0, b"overwritten")


@pytest.mark.parametrize("size", [1, 2, 255, 256])
def test_a_handle_of_up_to_256_bytes_is_taken(files: Files, size: int) -> None:
    files.add(b"n" * size, b"content")
    assert exchange(files, read(1, b"n" * size, 0, 7)).replies == data(1, b"content")


@pytest.mark.parametrize("size", [0, 257, 300, 100_000])
def test_a_handle_of_another_size_is_refused(pipe: Pipe, size: int) -> None:
    with pytest.raises(OSError) as caught:
        pipe.sftp.handle_add(b"n" * size, 0, READ_WRITE)
    assert caught.value.errno == EINVAL


def test_a_handle_in_use_is_refused_and_keeps_its_file(files: Files) -> None:
    files.add(b"h", b"first")
    other = files.add(b"other", b"second")

    with Scratch(read(1, b"h", 0, 9)) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        with pytest.raises(FileExistsError) as caught:
            pipe.sftp.handle_add(b"h", other.fd, READ_WRITE)
        assert caught.value.errno == EEXIST
        pipe.next()
        assert output.content() == data(1, b"first")


def test_a_removed_handle_is_unknown_while_its_descriptor_stays_open(files: Files) -> None:
    file = files.add(b"h", b"content")
    requests = read(1, b"h", 0, 7), write(2, b"h", 0, b"x")
    outcome = exchange(files, b"".join(requests), prepare=lambda sftp: sftp.handle_remove(b"h"))
    assert outcome.events == [packet(request[4:]) for request in requests] + [END]
    assert os.fstat(file.fd).st_size == 7
    assert file.content() == b"content"


def test_a_handle_can_be_removed_once(pipe: Pipe) -> None:
    pipe.sftp.handle_add(b"h", 17, READ_WRITE)
    assert pipe.sftp.handle_remove(b"h") == HandleStats(0, 0, 0)
    with pytest.raises(FileNotFoundError) as caught:
        pipe.sftp.handle_remove(b"h")
    assert caught.value.errno == ENOENT


def test_a_name_used_again_leads_to_the_new_file_and_counts_anew(files: Files) -> None:
    files.add(b"h", b"old")
    new = files.add(b"new", b"NEW")
    with Scratch(read(1, b"h", 0, 9) + b"\0\0\0\1\x10" + read(2, b"h", 0, 2)) as source, Scratch() as output:
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        files.register(pipe.sftp)
        pipe.next()
        assert pipe.sftp.handle_remove(b"h").bytes_read == 3
        pipe.sftp.handle_add(b"h", new.fd, READ_WRITE)
        pipe.next()
        assert output.content() == data(1, b"old") + data(2, b"NE")
        assert pipe.sftp.handle_remove(b"h") == HandleStats(error=0, bytes_read=2, bytes_written=0)


steps_of_a_table = st.lists(
    st.tuples(st.booleans(), st.binary(min_size=1, max_size=2).map(lambda b: b[:1] + b[1:] * 200))
)


@settings(settings.get_profile("native"), max_examples=100)
@given(steps_of_a_table)
def test_any_order_of_adding_and_removing_keeps_the_table_right(steps: list[tuple[bool, bytes]]) -> None:
    with ExitStack() as stack:
        targets = [stack.enter_context(Scratch(b"%d" % i)) for i in range(5)]
        source, output = stack.enter_context(Scratch()), stack.enter_context(Scratch())
        pipe = Pipe(source.fd, output.fd, OK_TEMPLATE, EOF_TEMPLATE)
        model: dict[bytes, int] = {}
        for number, (add, name) in enumerate(steps):
            step_is_as_the_model(pipe.sftp, model, add, name, targets[number % 5].fd, number)
        os.write(source.fd, b"".join(read(number, name, 0, 9) for name, number in model.items()))
        os.lseek(source.fd, 0, os.SEEK_SET)
        assert pipe.next() == EventKind.EOF
        assert output.content() == b"".join(data(number, b"%d" % (number % 5)) for number in model.values())


def step_is_as_the_model(sftp: Sftp, model: dict[bytes, int], add: bool, name: bytes, fd: int, number: int) -> None:
    if not add and name not in model:
        with pytest.raises(FileNotFoundError):
            sftp.handle_remove(name)
    elif not add:
        sftp.handle_remove(name)
        del model[name]
    elif name in model:
        with pytest.raises(FileExistsError):
            sftp.handle_add(name, fd, READ_WRITE)
    else:
        sftp.handle_add(name, fd, READ_WRITE)
        model[name] = number


def test_hundreds_of_handles_can_be_open_and_go_in_any_order(pipe: Pipe) -> None:
    names = [b"%d" % i for i in range(1000)]
    for name in names:
        pipe.sftp.handle_add(name, 0, READ_WRITE)
    for name in sorted(names, key=lambda name: int(name) * 7919 % 1000):
        pipe.sftp.handle_remove(name)
        with pytest.raises(FileNotFoundError):
            pipe.sftp.handle_remove(name)
