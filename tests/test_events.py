"""Events and the ways to attach handlers."""

import pytest

from libsshd.events import EventSlot, Hook, SSHUserAuthRequest


class Owner:
    on_request = EventSlot[SSHUserAuthRequest]()


def event() -> SSHUserAuthRequest:
    return SSHUserAuthRequest(
        connection_id=1, user="bob", service="ssh-connection", auth_method="none", available_methods="password"
    )


def test_a_read_only_parameter_cannot_be_set() -> None:
    with pytest.raises(AttributeError, match="user"):
        event().user = "eve"


def test_a_parameter_that_does_not_exist_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        event().acept = True


def test_the_parameters_a_handler_answers_with_can_be_set() -> None:
    e = event()
    e.accept, e.partial_success, e.available_methods, e.home_dir = True, True, "none", "/home"
    assert (e.accept, e.partial_success, e.available_methods, e.home_dir) == (True, True, "none", "/home")


def test_nobody_is_accepted_unless_a_handler_says_so() -> None:
    assert event().accept is False


def test_handlers_are_attached_by_decorator_by_add_and_by_assignment() -> None:
    owner, called = Owner(), list[str]()

    @owner.on_request
    def first(_: SSHUserAuthRequest) -> None:
        called.append("first")

    owner.on_request.add(lambda _: called.append("second"))
    assert owner.on_request.fire(event())
    assert called == ["first", "second"]
    owner.on_request = lambda _: called.append("third")
    owner.on_request.fire(event())
    assert called == ["first", "second", "third"]
    owner.on_request = None
    assert not owner.on_request


def test_two_servers_do_not_share_handlers() -> None:
    first, second = Owner(), Owner()
    first.on_request.add(lambda _: None)
    assert first.on_request
    assert not second.on_request


def test_a_handler_that_raises_is_reported_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook[SSHUserAuthRequest]()

    @hook
    def broken(_: SSHUserAuthRequest) -> None:
        raise RuntimeError("broken on purpose")

    assert not hook.fire(event())
    assert "broken on purpose" in caplog.text
