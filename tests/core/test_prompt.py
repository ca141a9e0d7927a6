"""Credentials that are looked up: by a callable, in netrc, in a keyring."""

from __future__ import annotations

import copy
import pickle
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import InvalidProxy, Proxy, ProxyResponse
from connect_tunnel._login import Login
from connect_tunnel._route import Hop
from connect_tunnel._steps import Call, Offload
from connect_tunnel.auth import Auth, Basic, Bearer, Digest, Keyring, Netrc, Password, Prompt
from connect_tunnel.auth._prompt import LookedUp, need
from connect_tunnel.testing import replay
from tests.core.flows import FORBIDDEN, GRANTED, PROXY, TARGET, UNAUTHORIZED, talk, wants

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from connect_tunnel import Challenge
    from connect_tunnel.auth import Exchange, Flow
    from connect_tunnel.auth._prompt import Ask, Found

BASIC = wants('Basic realm="corp"')
DIGEST = wants('Digest realm="corp", nonce="n"')
ALICE, BOB = "Basic YWxpY2U6YQ==", "Basic Ym9iOmI="
A, B = ("alice", "a"), ("bob", "b")


class Asked:
    """Gives one thing after the other, and notes the challenges that it was asked with."""

    def __init__(self, *given: Any) -> None:
        self.given = list(given)
        self.offered: list[str] = []

    def __call__(self, proxy: Proxy, challenges: Sequence[Challenge]) -> Any:
        assert proxy is PROXY
        self.offered.append(", ".join(challenge.scheme for challenge in challenges))
        return self.given.pop(0)

    async def later(self, proxy: Proxy, challenges: Sequence[Challenge]) -> Any:
        return self(proxy, challenges)


class Ticket(Auth):
    """A flow of the caller's."""

    def flow(self, exchange: Exchange) -> Flow:
        yield "Ticket t"


LATER = pytest.mark.parametrize("later", [False, True], ids=["a function", "a coroutine function"])


@LATER
@pytest.mark.parametrize(
    ("given", "answers", "sent", "offered"),
    [
        pytest.param([A], [GRANTED], [ALICE], [""], id="AU-05 asked before the proxy is"),
        pytest.param([A], [FORBIDDEN], [ALICE], [""], id="AU-01 and then refused"),
        pytest.param([A, B], [BASIC, GRANTED], [ALICE, BOB], ["", "Basic"], id="AU-01 again"),
        pytest.param([A, A], [BASIC], [ALICE], ["", "Basic"], id="AU-18 the same again"),
        pytest.param([A, None], [BASIC], [ALICE], ["", "Basic"], id="AU-18 then nothing"),
        pytest.param(
            [A, B, A], [BASIC, BASIC], [ALICE, BOB], ["", "Basic", "Basic"], id="AU-18 in turn"
        ),
        pytest.param(
            [A, B, ("c", "")],
            [BASIC] * 3,
            [ALICE, BOB, "Basic Yzo="],
            ["", "Basic", "Basic"],
            id="AU-01 three times and no more",
        ),
        pytest.param([A], [UNAUTHORIZED], [ALICE], [""], id="AU-23 rejected by a 401"),
        pytest.param([None], [GRANTED], [None], [""], id="AU-01 none is needed"),
        pytest.param([None, A], [BASIC, GRANTED], [None, ALICE], ["", "Basic"], id="AU-01 later"),
        pytest.param([None, None], [BASIC], [None], ["", "Basic"], id="AU-01 not even then"),
        pytest.param([None], [UNAUTHORIZED], [None], [""], id="AU-23 asked for by a 401"),
        pytest.param([Basic("alice", "a")], [GRANTED], [ALICE], [""], id="an Auth"),
        pytest.param(
            [Basic("alice", "a", preemptive=False)],
            [BASIC, GRANTED],
            [None, ALICE],
            [""],
            id="AU-05 an Auth that waits to be asked",
        ),
        pytest.param([Bearer("t")], [GRANTED], ["Bearer t"], [""], id="AU-22 a token over TLS"),
        pytest.param([Ticket()], [GRANTED], ["Ticket t"], [""], id="a flow of the caller's"),
        pytest.param(
            [Ticket(), A],
            [BASIC, GRANTED],
            ["Ticket t", ALICE],
            ["", "Basic"],
            id="AU-01 then a pair",
        ),
    ],
)
def test_a_callable(
    given: list[Any],
    answers: list[ProxyResponse],
    sent: list[str | None],
    offered: list[str],
    later: bool,
) -> None:
    asked = Asked(*given)
    told = talk(Prompt(asked.later if later else asked), *answers)
    assert told.sent == sent
    assert asked.offered == offered
    assert asked.given == []


def test_au_03_what_it_gives_is_used_for_what_the_proxy_wants() -> None:
    told = talk(Prompt(Asked(A)), DIGEST, GRANTED)
    assert told.schemes == ["Basic", "Digest"]
    assert told.exchange.tried == ["Basic", "Digest"]
    assert told.exchange.user == "alice"


def test_au_05_what_it_gives_again_begins_with_what_worked() -> None:
    hop, auth = Hop(PROXY), Prompt(Asked(*[Digest("alice", "a")] * 2))
    assert talk(auth, DIGEST, GRANTED, hop=hop).schemes == [None, "Digest"]
    assert talk(auth, GRANTED, hop=hop).schemes == ["Digest"]


def test_what_was_asked_for_in_vain_is_told() -> None:
    assert talk(Prompt(Asked(None, None)), BASIC).exchange.tried == ["prompt (gave nothing)"]


@LATER
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("alice:s3cr3t", "gave no pair, Auth or None, but str"),
        (("s3cr3t",), "gave no pair, Auth or None, but tuple"),
        (("alice", "s3cr3t", ""), "gave no pair, Auth or None, but tuple"),
        (("alice", b"s3cr3t"), "gave no pair, Auth or None, but tuple"),
        (["alice", 5], "gave no pair, Auth or None, but list"),
        ({"alice": "s3cr3t"}, "gave no pair, Auth or None, but dict"),
        (Basic, "gave no pair, Auth or None, but type"),
        (5, "gave no pair, Auth or None, but int"),
        (("a:b", "s3cr3t"), "may not have a colon"),
        (("alice", "s3cr3t\r\nA: b"), "control characters"),
    ],
    ids=ascii,
)
def test_a_callable_that_gives_what_is_of_no_use(given: Any, words: str, later: bool) -> None:
    asked = Asked(given)
    with pytest.raises(InvalidProxy, match=words) as caught:
        talk(Prompt(asked.later if later else asked))
    assert caught.value.phase == "auth"
    assert caught.value.__context__ is None
    assert "s3cr3t" not in str(caught.value)


def test_au_22_a_token_from_a_callable_does_not_go_in_the_clear() -> None:
    plain = Proxy("http://proxy.test", auth=lambda proxy, challenges: Bearer("s3cr3t"))
    assert isinstance(plain.auth, Prompt)
    with pytest.raises(InvalidProxy, match="in the clear") as caught:
        talk(plain.auth, hop=Hop(plain))
    assert caught.value.phase == "auth"


def test_a_callable_that_fails_fails_the_opening() -> None:
    def fail(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
        raise LookupError("nobody is there")

    with pytest.raises(LookupError, match="nobody is there"):
        talk(Prompt(fail))


def test_what_looks_nothing_up() -> None:
    with pytest.raises(NotImplementedError):
        talk(LookedUp())


# ---- netrc ----

NETRC = """
machine other.test login bob password b
machine proxy.test
    login alice
    account ignored
    password "a"
"""
NOT_READ = "netrc (cannot be read: {})"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        pytest.param(NETRC, ALICE, id="found"),
        pytest.param("default login bob password b", BOB, id="the entry for all others"),
        pytest.param(NETRC + "default login bob password b", ALICE, id="not if there is another"),
        pytest.param("machine proxy.test login alice", "Basic YWxpY2U6", id="no password"),
        pytest.param("machine proxy.test password a", "Basic OmE=", id="no user"),
    ],
)
def test_netrc(home: Path, text: str, sent: str) -> None:
    write(home / ".netrc", text)
    assert talk(Netrc(), GRANTED).sent == [sent]


NETRC_OF_NO_USE: list[tuple[str, str | bytes, str]] = [
    ("no entry", "machine other.test login bob password s3cr3t", "netrc (no entry for proxy.test)"),
    ("empty", "", "netrc (no entry for proxy.test)"),
    ("malformed", "machine proxy.test login alice s3cr3t\n", NOT_READ.format("line 2")),
    ("malformed at first", "s3cr3t\n", NOT_READ.format("line 2")),
    (
        "not UTF-8",
        b"machine proxy.test login \xff\xfe password s3cr3t",
        NOT_READ.format("not UTF-8"),
    ),
]


@pytest.mark.parametrize(
    ("text", "tried"), [pytest.param(*row[1:], id=row[0]) for row in NETRC_OF_NO_USE]
)
def test_netrc_of_no_use(
    home: Path, text: str | bytes, tried: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is asked without, and what was looked for in vain is told, without a word of it."""
    path = write(home / "rc", text)
    told = talk(Netrc(path), BASIC)
    assert told.sent == [None]
    assert told.exchange.tried == [tried]


@pytest.mark.parametrize(
    ("auth", "tried"),
    [
        (Netrc(), NOT_READ.format("No such file or directory")),
        (Netrc("/nonexistent/netrc"), NOT_READ.format("No such file or directory")),
        (Netrc("/"), NOT_READ.format("Is a directory")),
    ],
)
def test_a_netrc_that_cannot_be_read(home: Path, auth: Netrc, tried: str) -> None:
    assert talk(auth, BASIC).exchange.tried == [tried]
    assert talk(auth, GRANTED).sent == [None]


def test_au_24_a_netrc_that_others_may_read(home: Path) -> None:
    """The one at home alone: of one that is named, whoever names it knows best."""
    path = write(home / ".netrc", NETRC, 0o644)
    assert talk(Netrc(), BASIC).exchange.tried == [NOT_READ.format("it has to be yours alone")]
    assert talk(Netrc(path), GRANTED).sent == [ALICE]


def test_where_netrc_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home / ".netrc", "default login home password")
    named = write(home / "named", "default login alice password a")
    given = write(home / "given", "default login bob password b")
    monkeypatch.setenv("NETRC", str(named))
    assert talk(Netrc(), GRANTED).sent == [ALICE]
    assert talk(Netrc(given), GRANTED).sent == [BOB]
    monkeypatch.setenv("NETRC", "")
    assert talk(Netrc(), GRANTED).exchange.user == "home"


def test_au_18_netrc_is_read_again_when_it_was_rejected(home: Path) -> None:
    path = write(home / ".netrc", NETRC)
    assert talk(Netrc(), BASIC).sent == [ALICE]
    login = Login(Netrc(), Hop(PROXY), TARGET)
    replay(login.begin())
    write(path, "default login bob password b")
    more = replay(login.answer(BASIC)).value
    assert more is not None
    assert more.reveal() == BOB.encode()


def test_au_08_netrc_with_an_odd_user(home: Path) -> None:
    write(home / ".netrc", "default login a:b password s3cr3t")
    with pytest.raises(InvalidProxy, match="may not have a colon") as caught:
        talk(Netrc())
    assert "s3cr3t" not in str(caught.value)


# ---- keyring ----

CREDENTIAL = SimpleNamespace(username="alice", password="a")


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str | None], Any]:
    """What the keyring holds; an exception is raised."""
    held: dict[tuple[str, str | None], Any] = {}

    def get_credential(service: str, user: str | None) -> Any:
        found = held.get((service, user))
        if isinstance(found, Exception):
            raise found
        return found

    keyring = ModuleType("keyring")
    keyring.__spec__ = ModuleSpec("keyring", None)
    setattr(keyring, "get_credential", get_credential)  # noqa: B010 - mypy knows no such name
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    return held


@pytest.mark.parametrize(
    ("held", "given", "sent"),
    [
        pytest.param(("https://proxy.test:3128", None), {}, ALICE, id="by URL"),
        pytest.param(("proxy.test", None), {}, ALICE, id="by host"),
        pytest.param(("proxy.test", "alice"), {"user": "alice"}, ALICE, id="of a user"),
        pytest.param(("corp", None), {"service": "corp"}, ALICE, id="by service"),
        pytest.param(("corp", "alice"), {"user": "alice", "service": "corp"}, ALICE, id="by both"),
        pytest.param(("proxy.test", None), {"service": "corp"}, None, id="not by host then"),
        pytest.param(("proxy.test", None), {"user": "alice"}, None, id="not of another user"),
        pytest.param(("other.test", None), {}, None, id="not of another proxy"),
    ],
)
def test_a_keyring(
    ring: dict[tuple[str, str | None], Any],
    held: tuple[str, str | None],
    given: dict[str, str],
    sent: str | None,
) -> None:
    ring[held] = CREDENTIAL
    told = talk(Keyring(**given), BASIC)
    assert told.sent == [sent]
    assert told.exchange.tried == (["Basic"] if sent else ["keyring (no entry)"])
    assert told.exchange.user == ("alice" if sent else None)


def test_the_url_goes_before_the_host(ring: dict[tuple[str, str | None], Any]) -> None:
    ring[PROXY.url, None] = CREDENTIAL
    ring[PROXY.host, None] = SimpleNamespace(username="bob", password="b")
    assert talk(Keyring(), GRANTED).sent == [ALICE]


def test_a_keyring_that_fails(ring: dict[tuple[str, str | None], Any]) -> None:
    """What it says is not told, as it may hold what it knows."""
    ring[PROXY.url, None] = RuntimeError("s3cr3t")
    assert talk(Keyring(), BASIC).exchange.tried == ["keyring (RuntimeError)"]


def test_au_08_a_keyring_with_an_odd_password(ring: dict[tuple[str, str | None], Any]) -> None:
    ring[PROXY.url, None] = SimpleNamespace(username="alice", password="s3cr3t\n")
    with pytest.raises(InvalidProxy, match="control characters"):
        talk(Keyring())


def test_an_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is missed where it is asked for, and not in the middle of an opening."""
    message = r'^Keyring needs no_such: pip install "connect_tunnel\[keyring\]"$'
    with pytest.raises(ImportError, match=message):
        need("no_such", extra="keyring", what="Keyring")
    monkeypatch.delitem(sys.modules, "keyring", raising=False)
    monkeypatch.setattr("connect_tunnel.auth._prompt.find_spec", dict[str, None]().get)
    with pytest.raises(ImportError, match=r"connect_tunnel\[keyring\]"):
        Keyring()


# ---- how they are looked up ----


@pytest.mark.parametrize(
    ("make", "step"),
    [
        (lambda: Prompt(Asked(A)), Call),
        (lambda: Netrc("/nonexistent"), Offload),
        (Keyring, Offload),
    ],
    ids=["a callable where the caller is", "netrc in a thread", "a keyring in a thread"],
)
def test_how_they_are_looked_up(
    make: Callable[[], LookedUp], step: type, ring: dict[tuple[str, str | None], Any]
) -> None:
    done = replay(Login(make(), Hop(PROXY), TARGET).begin())
    assert [type(taken) for taken in done.steps] == [step]


# ---- what they are ----


def ask(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
    return None


def ask_another(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
    return None


def identities() -> list[Callable[[], object]]:
    return [
        lambda: Prompt(ask),
        lambda: Prompt(ask_another),
        Netrc,
        lambda: Netrc("/rc"),
        Keyring,
        lambda: Keyring("alice"),
        lambda: Keyring(service="corp"),
        lambda: Password("alice", "a"),
    ]


def test_au_06_their_identities(ring: dict[tuple[str, str | None], Any]) -> None:
    for one, make in enumerate(identities()):
        for other, make_other in enumerate(identities()):
            assert (make() == make_other()) is (one == other)
            assert (hash(make()) == hash(make_other())) is (one == other)


def test_how_they_are_shown(ring: dict[tuple[str, str | None], Any], tmp_path: Path) -> None:
    assert repr(Prompt(ask)) == "Prompt(...)"
    assert repr(Netrc()) == "Netrc()"
    assert repr(Netrc(tmp_path / "rc")) == f"Netrc('{tmp_path}/rc')"
    assert repr(Keyring("alice")) == "Keyring('alice', service=None)"
    assert repr(Keyring(service="corp")) == "Keyring(None, service='corp')"


@pytest.mark.parametrize("kind", [Netrc, Keyring])
def test_half_made_ones_have_a_repr(kind: type[Auth]) -> None:
    assert repr(kind.__new__(kind)) == f"<{kind.__name__} in the making>"


def test_those_that_hold_no_secret_pickle(ring: dict[tuple[str, str | None], Any]) -> None:
    for auth in (Netrc("/rc"), Keyring("alice"), Prompt(identities)):  # type: ignore[arg-type]
        assert copy.copy(auth) is auth
        assert pickle.loads(pickle.dumps(auth)) == auth


@pytest.mark.parametrize("given", [ask, Asked(A), Asked(A).later])
def test_a_proxy_takes_a_callable(given: Ask) -> None:
    assert Proxy("https://proxy.test", auth=given).auth == Prompt(given)
