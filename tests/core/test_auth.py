"""Credentials: what is sent, when, to whom, and that nobody else sees it."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import Challenge
from connect_tunnel._secret import Secret
from connect_tunnel.auth import Auth, Basic, Bearer, Password
from connect_tunnel.testing import replay

if TYPE_CHECKING:
    from collections.abc import Sequence

BASIC = Challenge("BASIC", None, {"realm": "corp"})
DIGEST = Challenge("Digest", None, {"realm": "corp", "nonce": "n"})
NTLM = Challenge("NTLM")


def answer(auth: Auth, challenges: Sequence[Challenge] | None, sent: bytes | None) -> bytes | None:
    done = replay(auth.answer(challenges, None if sent is None else Secret(sent)))
    assert done.steps == ()
    return None if done.value is None else done.value.reveal()


@pytest.mark.parametrize(
    ("user", "password", "field"),
    [
        pytest.param("Aladdin", "open sesame", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", id="RFC"),
        pytest.param("anon", "", b"Basic YW5vbjo=", id="AU-08 an empty password"),
        pytest.param("u", "", b"Basic dTo=", id="AU-08 another"),
        pytest.param("", "p", b"Basic OnA=", id="AU-08 an empty user"),
        pytest.param("", "", b"Basic Og==", id="AU-08 neither"),
        pytest.param("u", "p:s", b"Basic dTpwOnM=", id="AU-08 a colon in the password"),
        pytest.param("hello", "iloveyou", b"Basic aGVsbG86aWxvdmV5b3U=", id="no padding"),
        pytest.param("test", "123\xa3", b"Basic dGVzdDoxMjPCow==", id="AU-09 UTF-8"),
        pytest.param(
            "u" * 99,
            "p" * 99,
            b"Basic " + b"dXV1" * 33 + b"OnBw" + b"cHBw" * 32 + b"cA==",
            id="long, and still on one line",
        ),
    ],
)
@pytest.mark.parametrize("kind", [Basic, Password])
def test_basic_credentials(kind: type[Basic], user: str, password: str, field: bytes) -> None:
    assert answer(kind(user, password), None, None) == field
    assert kind(user, password).user == user


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
    kind: type[Basic], user: Any, password: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        kind(user, password)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("preemptive", "challenges", "sent", "answers"),
    [
        pytest.param(True, None, None, True, id="AU-05 at once"),
        pytest.param(True, [BASIC], b"Basic ...", False, id="AU-18 never the same twice"),
        pytest.param(True, [BASIC], None, True, id="AU-01 if the first went without"),
        pytest.param(False, None, None, False, id="AU-05 not before it is asked"),
        pytest.param(False, [BASIC], None, True, id="AU-01 when it is asked"),
        pytest.param(False, [DIGEST, BASIC], None, True, id="AU-02 among others, in any case"),
        pytest.param(False, [DIGEST, NTLM], None, False, id="AU-01 asked for something else"),
        pytest.param(False, [], None, False, id="AU-01 asked for nothing"),
        pytest.param(False, [BASIC], b"Basic ...", False, id="AU-18 rejected"),
    ],
)
def test_when_basic_credentials_are_sent(
    preemptive: bool, challenges: list[Challenge] | None, sent: bytes | None, answers: bool
) -> None:
    found = answer(Basic("u", "p", preemptive=preemptive), challenges, sent)
    assert found == (b"Basic dTpw" if answers else None)


@pytest.mark.parametrize("token", ["a", "mF_9.B5f-4.1JqM", "abc~+/==", "AbCdEf123456"])
def test_au_22_a_token(token: str) -> None:
    assert answer(Bearer(token), None, None) == b"Bearer " + token.encode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "=",
        "s3cr3t token",
        "s3cr3t\r\n",
        "s3cr3t\n",
        "s3=cr3t",
        "s3cr3t\xe9",
        "s3cr3t:",
        "s3cr3t,",
        b"s3cr3t",
        None,
        5,
    ],
    ids=ascii,
)
def test_au_22_what_is_no_token(token: Any) -> None:
    with pytest.raises(ValueError, match="a bearer token is letters, digits") as caught:
        Bearer(token)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("challenges", "sent"),
    [
        pytest.param([Challenge("Bearer")], b"Bearer s3cr3t", id="rejected"),
        pytest.param([Challenge("Bearer")], None, id="asked for"),
        pytest.param(None, b"Bearer s3cr3t", id="sent before"),
    ],
)
def test_au_22_a_token_is_not_sent_again(
    challenges: list[Challenge] | None, sent: bytes | None
) -> None:
    assert answer(Bearer("s3cr3t"), challenges, sent) is None


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
        Auth().answer(None, None)


def test_an_auth_of_ones_own_is_any_class() -> None:
    class Ticket(Auth):
        def __init__(self, ticket: str) -> None:
            self.ticket = ticket

    auth = Ticket("t")
    auth.ticket = "u"
    assert auth.ticket == "u"
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
