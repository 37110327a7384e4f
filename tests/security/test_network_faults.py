"""Networks that break at any step of the protocol: nothing is left behind, and what was acknowledged is there."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.conftest import Rounds
from tests.support.account import KEY, PASSWORD
from tests.support.breaking import FAULTS, BreakingPeer, Broken, Fault, Relay
from tests.support.command import attempt, wait_until
from tests.support.hostile import Channel, Peer, auth_request, key_blob, offer, password_request, signed_request
from tests.support.link import openssh_options
from tests.support.rawsftp import CREAT, WRITE, Code, RawSFTP, Type, string, u32, u64
from tests.support.sshwire import HOST, Message, message
from tests.support.target import Target

BLOCK = 30_000
BLOCKS = 8
AT_ONCE = 100
"""Broken connections that are left to the server before it is asked what it has kept of them."""
DIRECTIONS = ("out", "in")
LONG = 300_000
"""Bytes that the longest step moves."""


@dataclass
class Visit:
    """One client on its way, and what it knows about its upload."""

    peer: BreakingPeer
    name: str
    sent: int = 0
    acknowledged: int = 0
    closed: bool = False  # the server said so
    handles: list[bytes] = field(default_factory=list)

    @property
    def channel(self) -> Channel:
        return self.peer.channels[0]

    def send(self, number: int, *fields: bytes) -> None:
        self.peer.send(message(number, *fields))


def read_banner(visit: Visit) -> None:
    visit.peer.greet()


def agree(visit: Visit) -> None:
    visit.peer.send_kexinit()
    visit.peer.await_kexinit()


def exchange(visit: Visit) -> None:
    visit.peer.finish_exchange()


def ask_for_the_service(visit: Visit) -> None:
    visit.peer.service()


def offer_a_key(visit: Visit) -> None:
    assert visit.peer.attempt(offer(b"alice", b"ssh-ed25519", key_blob(KEY))) == Message.USERAUTH_PK_OK


def prove_the_key(visit: Visit) -> None:
    proof = signed_request(visit.peer.session_id, b"alice", KEY)
    assert visit.peer.attempt(proof) == Message.USERAUTH_SUCCESS


def say_the_password(visit: Visit) -> None:
    assert visit.peer.attempt(password_request(b"alice", PASSWORD.encode())) == Message.USERAUTH_SUCCESS


def ask_for_prompts(visit: Visit) -> None:
    request = auth_request(b"alice", b"keyboard-interactive", string(b""), string(b""))
    assert visit.peer.attempt(request) == Message.USERAUTH_PK_OK, "60 is also the number of INFO_REQUEST"


def answer_the_prompt(visit: Visit) -> None:
    answer = message(Message.USERAUTH_INFO_RESPONSE, u32(1), string(PASSWORD.encode()))
    assert visit.peer.attempt(answer) == Message.USERAUTH_SUCCESS


def open_a_channel(visit: Visit) -> None:
    visit.peer.open_channel()


def ask_for_the_subsystem(visit: Visit) -> None:
    assert visit.channel.ask(b"subsystem", string(b"sftp"))


def begin(visit: Visit) -> None:
    RawSFTP(visit.channel).init()


def open_files(visit: Visit) -> None:
    sftp = RawSFTP(visit.channel)
    visit.handles = [
        sftp.open(b"/" + visit.name.encode(), WRITE | CREAT),
        sftp.open(b"/large"),
        sftp.ask(Type.OPENDIR, string(b"/many")).handle,
    ]


def write(visit: Visit) -> None:
    sftp = RawSFTP(visit.channel)
    for number in range(BLOCKS):
        visit.sent += 1
        sftp.post(Type.WRITE, string(visit.handles[0]), u64(number * BLOCK), string(block(number)))
    for _ in range(BLOCKS):
        assert sftp.reply().code == Code.OK
        visit.acknowledged += 1


def read(visit: Visit) -> None:
    sftp = RawSFTP(visit.channel)
    for number in range(BLOCKS):
        sftp.post(Type.READ, string(visit.handles[1]), u64(number * BLOCK), u32(BLOCK))
    for _ in range(BLOCKS):
        assert len(sftp.reply().data) == BLOCK


def list_names(visit: Visit) -> None:
    assert RawSFTP(visit.channel).ask(Type.READDIR, string(visit.handles[2])).names


def close_files(visit: Visit) -> None:
    for handle in visit.handles:
        assert RawSFTP(visit.channel).shut(handle) == Code.OK
        visit.closed = True  # the upload is the first


def exchange_keys_again(visit: Visit) -> None:
    visit.peer.exchange()


def say_goodbye(visit: Visit) -> None:
    visit.send(Message.DISCONNECT, u32(11), string(b"bye"), string(b""))


LOGINS: Sequence[Sequence[Callable[[Visit], None]]] = (
    (offer_a_key, prove_the_key),
    (say_the_password,),
    (ask_for_prompts, answer_the_prompt),
)
BEFORE = (read_banner, agree, exchange, ask_for_the_service)
AFTER = (open_a_channel, ask_for_the_subsystem, begin, open_files, write, exchange_keys_again, read, list_names,
         close_files, say_goodbye)  # fmt: skip
STEPS = [
    (login, step)
    for login, steps in enumerate(LOGINS)
    for step in (*steps, *((*BEFORE, *AFTER) if login == 1 else ()))
]
CASES = list(itertools.product(STEPS, DIRECTIONS, FAULTS))
UPLOADS = [case for case in CASES if case[0][1] in AFTER[3:]]
"""Those in which a file is open, or has just been closed."""


def block(number: int) -> bytes:
    return bytes([number + 1]) * BLOCK


def offset(step: Callable[[Visit], None], choose: random.Random) -> int:
    """Where in a step it happens: at its first bytes as often as anywhere in it."""
    return choose.choice(
        [0, 1, 4, 5, choose.randrange(300), choose.randrange(LONG if step in (write, read) else 600)]
    )


def break_at(port: int, name: str, login: int, step: Callable[[Visit], None], fault: Fault) -> Visit:
    """A visit that ends in `step`, or right after it when it moves fewer bytes than the fault waits for."""
    visit = Visit(BreakingPeer(port), name)
    for each in (*BEFORE, *LOGINS[login], *AFTER):
        if each is step:
            visit.peer.fault = fault
        with suppress(Broken):
            each(visit)
            if each is not step:
                continue
        break
    visit.peer.strike()
    return visit


@pytest.fixture(scope="module", params=["direct", "atomic"])
def target(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Target]:
    """A server that waits for nobody for long."""
    made = Target(
        tmp_path_factory.mktemp("target"), login_timeout=3.0, ssh_keep_alive_interval=1,
        ssh_keep_alive_count_max=2, failure_delay=0.0, max_auth_attempts=0,
        default_auth_methods="publickey,password,keyboard-interactive", upload_mode=request.param,
        default_timeout=1, config=["KeyboardInteractivePrompts=Password: ,echo=false"],
    )  # fmt: skip
    (made.root / "large").write_bytes(bytes(BLOCK * BLOCKS))
    (made.root / "many").mkdir()
    for number in range(200):
        (made.root / "many" / f"{number:0100}").touch()
    yield made
    made.stop()


def usable(target: Target) -> None:
    with Peer(target.port) as peer:
        assert RawSFTP(peer.login().sftp()).init().stat(b"/").permissions is not None


@pytest.fixture(scope="module")
def rested(target: Target) -> tuple[int, int]:
    """Threads and descriptors of the server without clients, once it has had one of every kind."""
    base = target.threads(), target.descriptors()
    usable(target)
    wait_until(lambda: (target.threads(), target.descriptors()) == base, "the first client is gone")
    return base


def release(target: Target, broken: Sequence[BreakingPeer | Relay], rested: tuple[int, int]) -> None:
    """Waits until the server has let go of everything, though none of the clients has told it more."""

    def let_go() -> bool:
        for each in broken:
            each.drain()
        return (target.threads(), target.descriptors()) == rested

    wait_until(let_go, f"threads and descriptors as before: {rested}", 20.0)
    for each in broken:
        each.close()


def check_upload(path: Path, visit: Visit, mode: str) -> None:
    """What was acknowledged is there; what was not may be, but whole, in its place. Atomic uploads come as one."""
    data = path.read_bytes() if path.exists() else b""
    count, rest = divmod(len(data), BLOCK)
    assert rest == 0
    assert visit.acknowledged <= count <= visit.sent or (mode == "atomic" and not data)
    assert mode == "direct" or count == BLOCKS or (count == 0 and not visit.closed)
    assert data == b"".join(map(block, range(count)))
    path.unlink(missing_ok=True)


@pytest.mark.rounds
def test_faults_at_every_step_leave_no_thread_descriptor_or_temporary_and_exactly_the_acknowledged_writes(
    target: Target, rested: tuple[int, int], rounds: Rounds, request: pytest.FixtureRequest
) -> None:
    mode = request.node.callspec.params["target"]
    choose = random.Random(5)
    known, every = (CASES, 10_000) if mode == "direct" else (UPLOADS, 2_000)
    cases = list(itertools.islice(itertools.cycle(known), rounds(len(known), every)))
    before = sorted(path.name for path in target.root.rglob("*"))
    for begin_at in range(0, len(cases), AT_ONCE):
        visits = [
            break_at(target.port, f"up{number}", login, step, Fault(kind, direction, offset(step, choose)))
            for number, ((login, step), direction, kind) in enumerate(cases[begin_at : begin_at + AT_ONCE])
        ]
        release(target, [visit.peer for visit in visits], rested)
        for visit in visits:
            check_upload(target.root / visit.name, visit, mode)
        assert sorted(path.name for path in target.root.rglob("*")) == before
    usable(target)
    assert not target.crash()


# --- the same to somebody else's client ---


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The account's key in a file."""
    file = tmp_path_factory.mktemp("identity") / "key"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    file.write_bytes(KEY.private_bytes(*form))
    file.chmod(0o600)
    return file


def session_of_openssh(relay: Relay, identity: Path, place: Path, name: str) -> int:
    """An upload, a download, a listing and a change of name; the exit status."""
    words = [*openssh_options(relay.port), f"-oIdentityFile={identity}", "-oPreferredAuthentications=publickey"]
    batch = f"put source {name}\nget large back\nls -l many\nrename {name} {name}-moved\n".encode()
    done = attempt(["sftp", "-q", *words, "-b", "-", HOST], home=place, stdin=batch, cwd=place)
    relay.join()
    return done.returncode


@pytest.mark.rounds
def test_openssh_that_is_cut_off_at_any_byte_leaves_a_beginning_of_its_upload_and_nothing_else(
    target: Target, rested: tuple[int, int], rounds: Rounds, tmp_path: Path, identity: Path
) -> None:
    source = b"".join(map(block, range(BLOCKS)))
    (tmp_path / "source").write_bytes(source)
    whole = Relay(target.port, None)
    assert session_of_openssh(whole, identity, tmp_path, "whole") == 0
    assert (target.root / "whole-moved").read_bytes() == source
    (target.root / "whole-moved").unlink()
    before = {path.name for path in target.root.rglob("*")}
    choose = random.Random(6)
    for _ in range(rounds(1, 30)):
        relays = []
        for number in range(10):
            direction = choose.choice(DIRECTIONS)
            fault = Fault(choose.choice([*FAULTS]), direction, choose.randrange(whole.moved[direction]))
            relays.append(Relay(target.port, fault))
            session_of_openssh(relays[-1], identity, tmp_path, f"up{number}")
        release(target, relays, rested)
        for left in target.root.glob("up*"):
            assert source.startswith(left.read_bytes())
            left.unlink()
        assert {path.name for path in target.root.rglob("*")} == before
