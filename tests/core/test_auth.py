"""Credentials: what is sent, when, to whom, and that nobody else sees it."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import Proxy, ProxyResponse
from connect_tunnel._route import Hop
from connect_tunnel.auth import Auth, Basic, Bearer, Exchange, Password
from connect_tunnel.auth._basic import warn_of_cleartext
from tests.core.flows import FORBIDDEN, GRANTED, PROXY, UNAUTHORIZED, talk, wants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connect_tunnel.auth import Flow

BASIC = 'BASIC realm="corp"'
UTF_8 = 'Basic realm="corp", charset="utf-8"'
DIGEST = 'Digest realm="corp", nonce="n"'


@pytest.mark.parametrize(
    ("user", "password", "field"),
    [
        pytest.param("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", id="RFC"),
        pytest.param("anon", "", "Basic YW5vbjo=", id="AU-08 an empty password"),
        pytest.param("u", "", "Basic dTo=", id="AU-08 another"),
        pytest.param("", "p", "Basic OnA=", id="AU-08 an empty user"),
        pytest.param("", "", "Basic Og==", id="AU-08 neither"),
        pytest.param("u", "p:s", "Basic dTpwOnM=", id="AU-08 a colon in the password"),
        pytest.param("hello", "iloveyou", "Basic aGVsbG86aWxvdmV5b3U=", id="no padding"),
        pytest.param("test", "123\xa3", "Basic dGVzdDoxMjPCow==", id="AU-09 UTF-8"),
        pytest.param(
            "u" * 99,
            "p" * 99,
            "Basic " + "dXV1" * 33 + "OnBw" + "cHBw" * 32 + "cA==",
            id="long, and still on one line",
        ),
    ],
)
@pytest.mark.parametrize("kind", [Basic, Password])
def test_basic_credentials(
    kind: type[Basic | Password], user: str, password: str, field: str
) -> None:
    told = talk(kind(user, password), GRANTED)
    assert told.sent == [field]
    assert kind(user, password).user == user
    assert told.exchange.user == (user or None)


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        pytest.param("a:b", "s3cr3t", "may not have a colon", id="AU-08 a colon in the user"),
        pytest.param("a\n", "s3cr3t", "control characters", id="AU-08 LF in the user"),
        pytest.param("a", "s3cr3t\r\n", "control characters", id="AU-08 CR LF in the password"),
        pytest.param("a", "s3cr3t\0", "control characters", id="AU-08 NUL in the password"),
        pytest.param("a", "s3cr3t\x7f", "control characters", id="AU-08 DEL in the password"),
        pytest.param("a", "s3cr3t\x85", "control characters", id="AU-08 a C1 control"),
        pytest.param("a", "s3cr3t\ud800", "text that UTF-8 can encode", id="AU-09 no UTF-8"),
        pytest.param("\ud800", "s3cr3t", "text that UTF-8 can encode", id="AU-09 nor the user"),
        pytest.param(b"a", "s3cr3t", "are text", id="a user in octets"),
        pytest.param("a", b"s3cr3t", "are text", id="a password in octets"),
        pytest.param(5, "s3cr3t", "are text", id="a user of no kind"),
        pytest.param("a", None, "are text", id="no password"),
    ],
)
@pytest.mark.parametrize("kind", [Basic, Password])
def test_what_is_no_user_and_password(
    kind: type[Basic | Password], user: Any, password: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        kind(user, password)
    assert "s3cr3t" not in str(caught.value)


SENT = "Basic dTpw"


@pytest.mark.parametrize(
    ("preemptive", "answers", "sent"),
    [
        pytest.param(True, [], [SENT], id="AU-05 at once"),
        pytest.param(True, [wants(BASIC)], [SENT], id="AU-18 never the same twice"),
        pytest.param(True, [UNAUTHORIZED], [SENT], id="AU-23 nor after a 401"),
        pytest.param(False, [], [None], id="AU-05 not before it is asked"),
        pytest.param(False, [wants(BASIC)], [None, SENT], id="AU-01 when it is asked"),
        pytest.param(
            False, [wants(DIGEST, BASIC)], [None, SENT], id="AU-02 among others, in any case"
        ),
        pytest.param(False, [wants(DIGEST, "NTLM")], [None], id="AU-01 asked for something else"),
        pytest.param(False, [wants()], [None], id="AU-01 asked for nothing"),
        pytest.param(False, [UNAUTHORIZED], [None], id="AU-23 asked by a 401"),
        pytest.param(False, [wants(BASIC)] * 2, [None, SENT], id="AU-18 rejected"),
    ],
)
def test_when_basic_credentials_are_sent(
    preemptive: bool, answers: list[ProxyResponse], sent: list[str | None]
) -> None:
    assert talk(Basic("u", "p", preemptive=preemptive), *answers).sent == sent


@pytest.mark.parametrize(
    ("preemptive", "answers", "schemes"),
    [
        pytest.param(True, [], ["Basic"], id="AU-05 at once"),
        pytest.param(True, [wants(BASIC)], ["Basic"], id="AU-18 once"),
        pytest.param(True, [wants(DIGEST)], ["Basic", "Digest"], id="AU-03 then what is asked"),
        pytest.param(True, [wants(DIGEST)] * 2, ["Basic", "Digest"], id="AU-18 and no more"),
        pytest.param(False, [], [None], id="AU-05 not before it is asked"),
        pytest.param(False, [wants(BASIC, DIGEST)], [None, "Digest"], id="AU-03 the stronger"),
        pytest.param(
            False, [wants(DIGEST, BASIC)] * 3, [None, "Digest", "Basic"], id="AU-18 then the other"
        ),
        pytest.param(False, [wants("Negotiate")], [None], id="AU-01 neither"),
    ],
)
def test_what_a_password_is_used_for(
    preemptive: bool, answers: list[ProxyResponse], schemes: list[str | None]
) -> None:
    assert talk(Password("u", "p", preemptive=preemptive), *answers).schemes == schemes


def test_au_05_basic_that_did_well_is_sent_at_once() -> None:
    hop, auth = Hop(PROXY), Basic("u", "p", preemptive=False)
    assert talk(auth, wants(BASIC), GRANTED, hop=hop).sent == [None, SENT]
    assert talk(auth, FORBIDDEN, hop=hop).sent == [SENT]
    assert talk(auth, wants(BASIC), hop=hop).sent == [SENT]
    assert talk(auth, hop=hop).sent == [None]
    assert talk(auth, hop=Hop(PROXY)).sent == [None]


PLAIN, NORMAL = "Basic SmHMiDpw", "Basic SsOkOnA="  # of "Ja\u0308:p", and in normal form C


@pytest.mark.parametrize(
    ("user", "preemptive", "challenge", "sent"),
    [
        pytest.param("Ja\u0308", False, UTF_8, [None, NORMAL], id="AU-09 asked for"),
        pytest.param("Ja\u0308", False, BASIC, [None, PLAIN], id="AU-09 not asked for"),
        pytest.param("Ja\u0308", True, UTF_8, [PLAIN, NORMAL], id="AU-09 asked for after all"),
        pytest.param("Ja\u0308", True, BASIC, [PLAIN], id="AU-09 never asked for"),
        pytest.param("J\xe4", True, UTF_8, [NORMAL], id="AU-18 in normal form to begin with"),
        pytest.param("u", True, UTF_8, [SENT], id="AU-18 ASCII"),
    ],
)
def test_au_09_normal_form(
    user: str, preemptive: bool, challenge: str, sent: list[str | None]
) -> None:
    answers = [wants(challenge)] * len(sent)
    assert talk(Basic(user, "p", preemptive=preemptive), *answers).sent == sent


# ---- a password in the clear ----

WARNING = "a password goes in the clear to the proxy {}, for all on the way to read"


@pytest.fixture
def unwarned() -> Iterator[None]:
    warn_of_cleartext.cache_clear()
    yield
    warn_of_cleartext.cache_clear()


@pytest.mark.usefixtures("unwarned")
@pytest.mark.parametrize(
    ("url", "warns"),
    [
        ("http://proxy.test:3128", True),
        ("http://127.proxy.test:3128", True),
        ("http://[2001:db8::1]:3128", True),
        ("https://proxy.test:3128", False),
        ("http://localhost:3128", False),
        ("http://127.0.0.2:3128", False),
        ("http://[::1]:3128", False),
    ],
)
def test_au_24_a_password_in_the_clear_is_warned_of(
    url: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each proxy, and without a word of it."""
    hop = Hop(Proxy(url))
    for password in ("s3cr3t", "0th3r"):
        for auth in (Basic("alice", password), Password("alice", password)):
            talk(auth, GRANTED, hop=hop)
    assert [(record.name, record.levelno) for record in caplog.records] == (
        [("connect_tunnel", logging.WARNING)] if warns else []
    )
    assert caplog.messages == ([WARNING.format(url)] if warns else [])


@pytest.mark.usefixtures("unwarned")
def test_au_24_each_proxy_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    for host in "abc":
        talk(Basic("u", "p"), GRANTED, hop=Hop(Proxy(f"http://{host}.test")))
    assert len(caplog.messages) == 3


@pytest.mark.usefixtures("unwarned")
def test_au_24_a_digest_warns_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    hop = Hop(Proxy("http://proxy.test"))
    talk(Password("u", "p", preemptive=False), wants(DIGEST), GRANTED, hop=hop)
    assert caplog.messages == []


@pytest.mark.usefixtures("unwarned")
def test_nobody_is_warned_who_has_not_loaded_logging(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """But whoever loads it later is."""
    hop = Hop(Proxy("http://proxy.test"))
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "logging")
        assert talk(Basic("u", "p"), GRANTED, hop=hop).sent == [SENT]
    assert caplog.messages == []
    talk(Basic("u", "p"), GRANTED, hop=hop)
    assert len(caplog.messages) == 1


# ---- tokens ----

WANTS_BEARER = wants('Bearer realm="corp"')


@pytest.mark.parametrize("token", ["a", "mF_9.B5f-4.1JqM", "abc~+/==", "AbCdEf123456"])
def test_au_22_a_token(token: str) -> None:
    assert talk(Bearer(token), GRANTED).sent == [f"Bearer {token}"]


NO_TOKENS: list[Any] = [
    "",
    "=",
    "s3cr3t token",
    "s3cr3t\r\n",
    "s3cr3t\n",
    "s3=cr3t",
    "s3cr3t\xe9",
    "s3cr3t:",
    "s3cr3t,",
]


@pytest.mark.parametrize("token", [*NO_TOKENS, b"s3cr3t", None, 5], ids=ascii)
def test_au_22_what_is_no_token(token: Any) -> None:
    with pytest.raises(ValueError, match="a bearer token is letters, digits") as caught:
        Bearer(token)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    "answers",
    [[WANTS_BEARER], [UNAUTHORIZED], [wants(BASIC)]],
    ids=["AU-18 rejected", "AU-23 by a 401", "AU-01 not asked for"],
)
def test_au_22_a_token_is_not_sent_again(answers: list[ProxyResponse]) -> None:
    assert talk(Bearer("s3cr3t"), *answers).sent == ["Bearer s3cr3t"]


def giving(*tokens: Any, later: bool = False) -> Bearer:
    """One whose callable gives these, and no more."""
    given = iter(tokens)

    async def give_later() -> Any:
        return next(given)

    return Bearer(give_later if later else lambda: next(given))


@pytest.mark.parametrize("later", [False, True], ids=["a function", "a coroutine function"])
@pytest.mark.parametrize(
    ("tokens", "answers", "sent"),
    [
        pytest.param("a", [GRANTED], ["Bearer a"], id="AU-05 a token that is good"),
        pytest.param("ab", [WANTS_BEARER, GRANTED], ["Bearer a", "Bearer b"], id="AU-01 and fresh"),
        pytest.param("ab", [WANTS_BEARER] * 2, ["Bearer a", "Bearer b"], id="AU-18 no third"),
        pytest.param("aa", [WANTS_BEARER], ["Bearer a"], id="AU-18 the same again"),
        pytest.param("a", [wants(BASIC)], ["Bearer a"], id="AU-01 something else is asked for"),
        pytest.param("a", [UNAUTHORIZED], ["Bearer a"], id="AU-23 rejected by a 401"),
    ],
)
def test_a_token_from_a_callable(
    tokens: str, answers: list[ProxyResponse], sent: list[str], later: bool
) -> None:
    assert talk(giving(*tokens, later=later), *answers).sent == sent


def test_au_05_a_token_is_kept_until_it_is_rejected() -> None:
    hop, auth = Hop(PROXY), giving(*"abcde")
    assert talk(auth, GRANTED, hop=hop).sent == ["Bearer a"]
    assert talk(auth, FORBIDDEN, hop=hop).sent == ["Bearer a"]
    assert talk(auth, WANTS_BEARER, GRANTED, hop=hop).sent == ["Bearer a", "Bearer b"]
    assert talk(auth, GRANTED, hop=Hop(PROXY)).sent == ["Bearer c"]  # of this way alone
    assert talk(auth, UNAUTHORIZED, hop=hop).sent == ["Bearer b"]
    assert talk(auth, wants(BASIC), hop=hop).sent == ["Bearer d"]
    assert talk(auth, GRANTED, hop=hop).sent == ["Bearer e"]


@pytest.mark.parametrize("later", [False, True], ids=["a function", "a coroutine function"])
@pytest.mark.parametrize("token", [*NO_TOKENS, b"s3cr3t", None, 5], ids=ascii)
def test_au_22_a_callable_that_gives_no_token(token: Any, later: bool) -> None:
    """What it gave is not sent, nor shown; the proxy is asked without."""
    told = talk(giving(token, later=later), WANTS_BEARER)
    assert told.sent == [None]
    assert told.exchange.tried == ["Bearer (its callable gave no token)"]


class Pending:
    """Something to be awaited that is no coroutine, as a future is."""

    def __await__(self) -> Iterator[None]:
        yield


@pytest.mark.parametrize("awaitable", [False, True], ids=["a coroutine", "another awaitable"])
def test_what_nobody_can_await_is_left_alone(awaitable: bool) -> None:
    """By a driver without a loop: it closes what it was given, and no warning comes of it."""

    async def give() -> str:
        raise AssertionError("not awaited")

    auth: Any = Bearer(Pending if awaitable else give)  # type: ignore[arg-type]
    step: Any = next(auth.flow(Exchange(PROXY, "a.test:1")))
    given = step.function()
    assert isinstance(given, Coroutine)
    given.close()


def test_a_callable_that_fails_fails_the_opening() -> None:
    def fail() -> str:
        raise LookupError("no token today")

    with pytest.raises(LookupError, match="no token today"):
        talk(Bearer(fail))


@pytest.mark.parametrize(
    ("auth", "scheme", "complains"),
    [
        pytest.param(Bearer("t"), "http", True, id="AU-22 a token in the clear"),
        pytest.param(Bearer("t"), "https", False, id="AU-22 a token over TLS"),
        pytest.param(Bearer("t", allow_cleartext=True), "http", False, id="AU-22 if it must be"),
        pytest.param(Basic("u", "p"), "http", False, id="Basic in the clear is what proxies want"),
        pytest.param(Basic("u", "p"), "https", False, id="Basic over TLS"),
        pytest.param(Auth(), "http", False, id="an Auth of one's own"),
    ],
)
def test_where_credentials_may_go(auth: Auth, scheme: str, complains: bool) -> None:
    complaint = auth.complaint(scheme)
    assert bool(complaint) is complains
    assert not complaint or "in the clear" in complaint


def test_an_auth_of_ones_own_has_to_answer() -> None:
    with pytest.raises(NotImplementedError):
        talk(Auth())


def test_an_auth_of_ones_own_is_any_class() -> None:
    class Ticket(Auth):
        def __init__(self, ticket: str) -> None:
            self.ticket = ticket

        def flow(self, exchange: Exchange) -> Flow:
            yield f"Ticket {self.ticket} for {exchange.authority}"

    auth = Ticket("t")
    auth.ticket = "u"
    assert talk(auth, GRANTED).sent == ["Ticket u for server.example.com:443"]
    assert "Ticket" in repr(auth)


VALUES: list[tuple[str, Auth, Auth, bool]] = [
    ("the same", Basic("u", "p"), Basic("u", "p"), True),
    ("another password", Basic("u", "p"), Basic("u", "q"), False),
    ("another user", Basic("u", "p"), Basic("v", "p"), False),
    ("not at once", Basic("u", "p"), Basic("u", "p", preemptive=False), False),
    ("the same password", Password("u", "p"), Password("u", "p"), True),
    ("for Basic alone", Password("u", "p"), Basic("u", "p"), False),
    ("the same token", Bearer("t"), Bearer("t"), True),
    ("another token", Bearer("t"), Bearer("s"), False),
    ("a token for all", Bearer("t"), Bearer("t", allow_cleartext=True), False),
    ("another kind", Bearer("t"), Basic("u", "p"), False),
]


@pytest.mark.parametrize(
    ("one", "other", "same"), [pytest.param(*row[1:], id="AU-06 " + row[0]) for row in VALUES]
)
def test_identities(one: Auth, other: Auth, same: bool) -> None:
    assert (one == other) is same
    assert (other == one) is same
    assert (hash(one) == hash(other)) is same


@pytest.mark.parametrize("auth", [Basic("u", "p"), Bearer("t")], ids=repr)
def test_credentials_are_nothing_else(auth: object) -> None:
    assert auth != "u:p"


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        (Basic("alice", "s3cr3t"), "Basic('alice', ***)"),
        (Password("alice", "s3cr3t"), "Password('alice', ***)"),
        (Bearer("s3cr3t"), "Bearer(***)"),
    ],
    ids=["Basic", "Password", "Bearer"],
)
def test_au_24_credentials_are_not_shown(auth: Auth, shown: str) -> None:
    assert repr(auth) == str(auth) == shown
    assert copy.deepcopy(auth) is auth
    with pytest.raises(TypeError, match="a secret cannot be pickled"):
        pickle.dumps(auth)


@pytest.mark.parametrize("kind", [Basic, Password, Bearer])
def test_half_made_credentials_have_a_repr(kind: type[Auth]) -> None:
    assert repr(kind.__new__(kind))  # a traceback with locals prints them


@pytest.mark.parametrize("auth", [Basic("u", "p"), Bearer("t")], ids=repr)
@pytest.mark.parametrize("name", ["user", "preemptive", "allow_cleartext", "_credentials"])
def test_t12_credentials_cannot_be_changed_once_they_are_checked(auth: Auth, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(auth, name, "x\r\n")


@settings(deadline=None, database=None, derandomize=True)
@given(
    before=st.text(max_size=9),
    bad=st.sampled_from("".join(map(chr, [*range(0x20), 0x7F]))),
    after=st.text(max_size=9),
)
def test_t11_controls_in_user_and_password(before: str, bad: str, after: str) -> None:
    text = f"{before}{bad}{after}"
    for user, password in ((text, "p"), ("u", text)):
        with pytest.raises(ValueError, match=r"RFC 7617, 2|UTF-8") as caught:
            Password(user, password)
        assert str(caught.value).isprintable()
