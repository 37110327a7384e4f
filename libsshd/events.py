"""Events: what a handler is told, what it may answer, and how handlers are attached and called."""

import logging
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, overload

_LOGGER = logging.getLogger("libsshd")


class Event:
    """Rule: a parameter named in `writable` may be set by a handler, every other assignment is an AttributeError."""

    __slots__ = ()
    writable: ClassVar[frozenset[str]] = frozenset()

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self.writable:
            raise AttributeError(f"{name} of {type(self).__name__} is read-only")
        object.__setattr__(self, name, value)

    def _preset(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


class SSHUserAuthRequest(Event):
    """A client tries to log in; nobody gets in unless a handler sets `accept`.

    `auth_param` is the password, or the Base64 form of the offered public key. A public key is asked about
    once when it is offered and again when the request is signed; its signature is checked after the handler.
    """

    __slots__ = (
        "accept",
        "auth_method",
        "auth_param",
        "available_methods",
        "connection_id",
        "home_dir",
        "key_algorithm",
        "partial_success",
        "service",
        "user",
    )
    writable = frozenset({"accept", "partial_success", "available_methods", "home_dir"})

    connection_id: int
    user: str
    service: str
    auth_method: str
    auth_param: str
    key_algorithm: str
    accept: bool
    partial_success: bool
    available_methods: str
    home_dir: str

    def __init__(
        self,
        *,
        connection_id: int,
        user: str,
        service: str,
        auth_method: str,
        auth_param: str = "",
        key_algorithm: str = "",
        available_methods: str,
    ) -> None:
        self._preset(
            connection_id=connection_id,
            user=user,
            service=service,
            auth_method=auth_method,
            auth_param=auth_param,
            key_algorithm=key_algorithm,
            accept=False,
            partial_success=False,
            available_methods=available_methods,
            home_dir="",
        )


E_ = TypeVar("E_", bound=Event)
Handler = Callable[[E_], object]


class Hook(Generic[E_]):
    """The handlers of one event, called in the order in which they were added."""

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        self._handlers: tuple[Handler[E_], ...] = ()

    def __call__(self, handler: Handler[E_]) -> Handler[E_]:
        """Attaches as a decorator."""
        return self.add(handler)

    def __bool__(self) -> bool:
        return bool(self._handlers)

    def add(self, handler: Handler[E_]) -> Handler[E_]:
        self._handlers = (*self._handlers, handler)
        return handler

    def replace(self, handler: Handler[E_] | None) -> None:
        """What assignment does: this handler alone, or none."""
        self._handlers = () if handler is None else (handler,)

    def fire(self, event: E_) -> bool:
        """Calls the handlers: the only place that runs user code. False when one of them raised."""
        try:
            for handler in self._handlers:
                handler(event)
        except Exception:
            _LOGGER.exception("a handler of %s failed", type(event).__name__)
            return False
        return True


class EventSlot(Generic[E_]):
    """A member `on_...` of the server: read it to add or decorate, assign to it to replace."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> "EventSlot[E_]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> Hook[E_]: ...
    def __get__(self, instance: object | None, owner: type) -> "EventSlot[E_] | Hook[E_]":
        if instance is None:
            return self
        hooks: dict[str, Any] = instance.__dict__
        hook: Hook[E_] = hooks.setdefault(self._name, Hook())
        return hook

    def __set__(self, instance: object, handler: Handler[E_] | Hook[E_] | None) -> None:
        if not isinstance(handler, Hook):
            self.__get__(instance, type(instance)).replace(handler)
