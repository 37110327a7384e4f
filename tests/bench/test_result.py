"""Figures are computed as the benchmark's page says."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from .plot import draw
from .report import report
from .result import Result, Sample
from .row import MEMORY_ROWS, ROWS, TITLES
from .target import TARGETS, compare, judge_peers, judge_targets
from .workspace import BenchError

if TYPE_CHECKING:
    from pathlib import Path


def samples(row: str, server: str, metric: str, *figures: float) -> list[Sample]:
    return [Sample(row, server, number, {metric: figure}) for number, figure in enumerate(figures)]


def result_with_cpu(ours: float) -> Result:
    return Result(
        samples=samples("get-1g-gcm", "libsshd", "cpu", ours) + samples("get-1g-gcm", "openssh", "cpu", 2.0)
    )


def test_a_ratio_is_the_median_of_pairs_of_the_same_round() -> None:
    noisy = Result(
        samples=samples("get-small", "libsshd", "wall", 1.0, 4.0, 3.0)
        + samples("get-small", "openssh", "wall", 2.0, 8.0, 3.0)
    )
    ratio = noisy.ratio("get-small", "wall", "libsshd", "openssh")
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (0.5, 0.5, 1.0)


def test_rounds_that_only_one_server_ran_make_no_pair() -> None:
    uneven = Result(
        samples=samples("get-small", "libsshd", "wall", 1.0, 9.0) + samples("get-small", "paramiko", "wall", 2.0)
    )
    ratio = uneven.ratio("get-small", "wall", "libsshd", "paramiko")
    assert ratio is not None
    assert (ratio.low, ratio.high) == (0.5, 0.5)


def test_a_scaled_sample_counts_for_the_full_amount() -> None:
    scaled = Result(samples=[Sample("get-1g-gcm", "paramiko", 0, {"wall": 2.0}, scale=4.0)])
    assert scaled.series("get-1g-gcm", "paramiko", "wall") == {0: 8.0}
    assert "paramiko (1/4, scaled)" in report(scaled)


def test_a_saved_result_loads_unchanged(tmp_path: Path) -> None:
    saved = result_with_cpu(1.0)
    saved.save(tmp_path / "figures.json")
    assert Result.load(tmp_path / "figures.json") == saved


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 0}', '{"format": 1, "samples": [{}]}'])
def test_anything_else_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"figures\.json"):
        Result.load(path)


@pytest.mark.parametrize(("ours", "met"), [(1.2, True), (1.21, False)])
def test_a_target_is_met_up_to_its_limit(ours: float, met: bool) -> None:
    (verdict,) = judge_targets(result_with_cpu(ours))
    assert (verdict.subject, verdict.met) == ("server CPU", met)
    assert ("MISS" in report(result_with_cpu(ours))) is not met


def test_a_peer_has_to_be_beaten_in_every_metric() -> None:
    mixed = Result(
        samples=[
            Sample("ls-10k", "libsshd", 0, {"wall": 1.0, "cpu": 3.0}),
            Sample("ls-10k", "asyncssh", 0, {"wall": 2.0, "cpu": 2.0}),
        ]
    )
    verdicts = [(verdict.subject, verdict.met) for verdict in judge_peers(mixed)]
    assert verdicts == [("wall time / asyncssh", True), ("server CPU / asyncssh", False)]


@pytest.mark.parametrize(("now", "met"), [(1.0, True), (1.04, True), (1.06, False)])
def test_a_cpu_ratio_that_grew_by_more_than_five_percent_is_a_fall(now: float, met: bool) -> None:
    (verdict,) = compare(result_with_cpu(now), result_with_cpu(1.0))
    assert verdict.met is met
    assert ("WORSE" in report(result_with_cpu(now), result_with_cpu(1.0))) is not met


def test_every_row_has_a_target_and_every_target_a_row() -> None:
    assert {target.row for target in TARGETS} == set(TITLES)
    assert len(TITLES) == len(ROWS) + len(MEMORY_ROWS)


def test_the_picture_is_well_formed_and_shows_every_ratio() -> None:
    shown = Result(
        versions={"asyncssh": "asyncssh <1>"},
        samples=result_with_cpu(1.0).samples
        + samples("idle", "libsshd", "pss", 100.0)
        + samples("idle", "openssh", "pss", 1800.0),
    )
    tree = ET.fromstring(draw(shown))  # noqa: S314 - our own picture
    texts = [node.text for node in tree.iter() if node.tag.endswith("text")]
    for expected in ("0.50", "100 KiB", "OpenSSH: 1,800 KiB", "GET 1 GiB, AES-128-GCM"):
        assert expected in texts
