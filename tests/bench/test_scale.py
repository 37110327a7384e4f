"""scale.py: what a limit of descriptors has room for."""

from __future__ import annotations

from .footprint import Footprint
from .scale import room

EMPTY = Footprint(memory=17_793, descriptors=9, threads=2, mappings=216, page_tables=128, sockets=0)


def test_all_sessions_are_held_when_there_are_descriptors_for_them() -> None:
    assert room(10_000, 20_019, EMPTY) == (10_000, [])


def test_as_many_are_held_as_there_is_room_for_and_it_is_said() -> None:
    sessions, (said,) = room(10_000, 20_000, EMPTY)
    assert sessions == 9_990
    assert said == "9990 sessions instead of 10000: the system grants 20000 descriptors, 2 for each"


def test_what_the_kernel_holds_is_stacks_page_tables_and_buffers() -> None:
    assert Footprint(0, 0, threads=10, mappings=0, page_tables=50, sockets=7).kernel == 10 * 16 + 50 + 7
