"""Events and the ways to attach handlers; what calls them is tested in test_dispatch.py."""

import pytest

from libsshd.dispatch import Dispatcher
from libsshd.events import Event, EventHooks, FileAborted, FileOpen, Log, SSHUserAuthRequest
from libsshd.serve.handlers import Handlers
from libsshd.settings import ConnectionSettings


def event() -> SSHUserAuthRequest:
    return SSHUserAuthRequest(
        connection_id=1, user="bob", service="ssh-connection", auth_method="none", available_methods="password"
    )


def test_a_read_only_parameter_cannot_be_set() -> None:
    with pytest.raises(AttributeError, match="user of SSHUserAuthRequest is read-only"):
        setattr(event(), "user", "eve")  # noqa: B010 - a type checker refuses the plain form


def test_a_parameter_that_does_not_exist_cannot_be_set() -> None:
    with pytest.raises(AttributeError, match="acept of SSHUserAuthRequest does not exist"):
        setattr(event(), "acept", True)  # noqa: B010 - a type checker refuses the plain form


def test_the_parameters_a_handler_answers_with_can_be_set() -> None:
    e = event()
    e.accept, e.partial_success, e.available_methods, e.home_dir = True, True, "none", "/home"
    assert (e.accept, e.partial_success, e.available_methods, e.home_dir) == (True, True, "none", "/home")


def test_nobody_is_accepted_unless_a_handler_says_so() -> None:
    assert event().accept is False


def test_the_documented_spelling_of_a_parameter_is_the_same_parameter() -> None:
    e = FileOpen(connection_id=3, user="bob", path="/a", flags=1, handle="7", file_atime=5)
    assert (getattr(e, "ConnectionId"), getattr(e, "FileATime"), getattr(e, "Handle")) == (3, 5, "7")  # noqa: B009
    setattr(e, "Handle", "mine")  # noqa: B010
    assert e.handle == "mine"
    with pytest.raises(AttributeError):
        setattr(e, "Path", "/b")  # noqa: B010


def test_an_event_has_no_room_for_anything_else() -> None:
    assert not hasattr(event(), "__dict__")


def test_handlers_are_attached_by_decorator_by_add_and_by_assignment() -> None:
    hooks = EventHooks()

    @hooks.on_ssh_user_auth_request
    def first(_: SSHUserAuthRequest) -> None: ...

    def second(_: SSHUserAuthRequest) -> None: ...

    assert hooks.on_ssh_user_auth_request.add(second) is second
    assert hooks.on_ssh_user_auth_request.handlers == (first, second)
    hooks.on_ssh_user_auth_request = second
    assert hooks.on_ssh_user_auth_request.handlers == (second,)
    hooks.on_ssh_user_auth_request = None
    assert not hooks.on_ssh_user_auth_request


def test_two_servers_do_not_share_handlers() -> None:
    first, second = EventHooks(), EventHooks()
    first.on_log.add(lambda _: None)
    assert first.on_log
    assert not second.on_log


def test_an_aborted_upload_is_told_of_however_much_else_is_waiting() -> None:
    told: list[Event] = []
    hooks = EventHooks()
    hooks.on_file_aborted, hooks.on_log = told.append, told.append
    dispatcher = Dispatcher(hooks, lambda: True)
    handlers = Handlers(hooks, dispatcher, None, ConnectionSettings(), lambda: 0.0)
    aborted = FileAborted(connection_id=0, user="bob", path="/a", handle="1", bytes_written=1, status_code=7)
    handlers.finish(hooks.on_file_aborted, aborted)
    for number in range(10_001):
        dispatcher.tell(hooks.on_log, Log(connection_id=0, log_level=1, message=str(number)))
    dispatcher.do_events(0)
    assert told[0] is aborted
    assert dispatcher.dropped == 1
