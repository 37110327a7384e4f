"""stopping.py: signals are counted, and end the wait of the main thread."""

import os
import signal
import threading

import pytest

from libsshd_cli.stopping import StopSignals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_counted_and_ends_the_wait(number: signal.Signals) -> None:
    with StopSignals() as signals:
        for count in range(1, 4):
            os.kill(os.getpid(), number)
            signals.wait()
            assert signals.count == count


def test_a_signal_that_came_before_the_wait_is_not_lost() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            signal.raise_signal(signal.SIGINT)
        signals.wait()
        assert signals.count == 1001


def test_another_thread_ends_the_wait_without_being_counted() -> None:
    with StopSignals() as signals:
        thread = threading.Thread(target=signals.wake)
        thread.start()
        signals.wait()
        thread.join()
        assert signals.count == 0


def test_waking_never_blocks_however_often_it_is_done() -> None:
    with StopSignals() as signals:
        for _ in range(100_000):
            signals.wake()
        signals.wait()
        assert signals.count == 0


def test_the_signals_mean_afterwards_what_they_meant_before() -> None:
    before = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), -1]
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGTERM),
        signal.set_wakeup_fd(-1),
    ] == before
