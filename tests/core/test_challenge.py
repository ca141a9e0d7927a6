"""Challenges: what is read of a 407, however oddly it is written, and what a challenge is."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import Challenge
from connect_tunnel.auth import parse_challenges

if TYPE_CHECKING:
    from collections.abc import Iterator

Read = list[tuple[str, str | None, dict[str, str]]]


def read(*values: str) -> Read:
    return [(c.scheme, c.token68, dict(c.params)) for c in parse_challenges(values)]


def cases() -> Iterator[Any]:
    """One a line: the values, what is to be read of them, and whose case it was."""
    for line in Path(__file__).with_name("challenges.jsonl").read_text("utf-8").splitlines():
        case = json.loads(line)
        wanted = [tuple(challenge) for challenge in case["challenges"]]
        yield pytest.param(case["values"], wanted, id=f"AU-02 {case['source']}")


@pytest.mark.parametrize(("values", "challenges"), list(cases()))
def test_what_others_read(values: list[str], challenges: Read) -> None:
    assert [(scheme.lower(), *rest) for scheme, *rest in read(*values)] == challenges


NESTED = r'Newauth realm="a, b", type=1, title="L \"x\"" , , Basic realm=foo'


READ: list[tuple[str, list[str], Read]] = [  # id, the values, what is read of them
    ("AU-02 nothing", [], []),
    ("AU-02 an empty value", [""], []),
    ("AU-02 empty elements alone", [" ,\t, "], []),
    ("AU-02 a bare scheme", ["Basic"], [("Basic", None, {})]),
    (
        "AU-02 commas within and between",
        [NESTED],
        [
            ("Newauth", None, {"realm": "a, b", "type": "1", "title": 'L "x"'}),
            ("Basic", None, {"realm": "foo"}),
        ],
    ),
    (
        "AU-02 token68, then a bare scheme",
        ["Negotiate YII=, NTLM"],
        [("Negotiate", "YII=", {}), ("NTLM", None, {})],
    ),
    ("AU-02 all of token68", ["Negotiate a-._~+/9=="], [("Negotiate", "a-._~+/9==", {})]),
    (
        "AU-02 over two lines",
        ["Digest", "Basic realm=x"],
        [("Digest", None, {}), ("Basic", None, {"realm": "x"})],
    ),
    (
        "AU-02 one over two lines, as a list may be",
        ["Digest realm=x", "nonce=y"],
        [("Digest", None, {"realm": "x", "nonce": "y"})],
    ),
    ("AU-02 bad whitespace", ["Basic REALM \t= \t'x'"], [("Basic", None, {"realm": "'x'"})]),
    ("AU-02 an empty string", ['Basic realm=""'], [("Basic", None, {"realm": ""})]),
    ("AU-02 quoted pairs", [r'Basic realm="\a\"\\"'], [("Basic", None, {"realm": 'a"\\'})]),
    ("AU-02 obs-text", ['Basic realm="\xff"'], [("Basic", None, {"realm": "\xff"})]),
    ("AU-02 a parameter twice", ["Basic realm=x, REALM=y"], []),
    (
        "AU-02 a parameter twice spoils that challenge alone",
        ["Basic realm=x, realm=x, NTLM"],
        [("NTLM", None, {})],
    ),
    ("AU-02 token68 and a parameter", ["Other abc==, realm=x"], []),
    ("AU-02 a parameter and token68", ["Other realm=x, abc=="], []),
    ("AU-02 a parameter of nothing", ["realm=x"], []),
    ("AU-02 and then a scheme", ["realm=x, NTLM"], [("NTLM", None, {})]),
    ("AU-02 token68 of nothing", ["abc==, NTLM"], [("NTLM", None, {})]),
    ("AU-02 a string of nothing", ['"x", NTLM'], [("NTLM", None, {})]),
    ("AU-02 a string that never ends", ['Basic realm="x'], []),
    ("AU-02 nor here", ['NTLM, Basic realm="x, Digest'], [("NTLM", None, {})]),
    ("AU-02 more after a string", ['Basic realm="a, b" c, NTLM'], [("NTLM", None, {})]),
    ("AU-02 more after a value", ["Basic realm=x y"], []),
    ("AU-02 no value, but a token68", ["Basic realm="], [("Basic", "realm=", {})]),
    ("AU-02 a control in a string", ['Basic realm="a\nb"'], []),
    ("AU-02 what is not Latin-1", ["Basic \u0130=x"], []),
]


@pytest.mark.parametrize(
    ("values", "challenges"), [pytest.param(*row[1:], id=row[0]) for row in READ]
)
def test_what_is_read(values: list[str], challenges: Read) -> None:
    assert read(*values) == challenges


@settings(deadline=None, database=None, derandomize=True, max_examples=300)
@given(st.lists(st.text('Basic realm=x",\\ \t=/\x00\xe9\u0130', max_size=40), max_size=3))
def test_whatever_a_proxy_says_is_read(values: list[str]) -> None:
    for scheme, token68, params in read(*values):
        assert scheme
        assert token68 is None or not params


@pytest.mark.parametrize(
    "value",
    [
        "Basic" + " " * 65_000 + '"',
        'Basic x="' + '\\"' * 32_000,
        'Basic x="' + "\\" * 65_000,
        '"' * 65_001,
        '"\x00' * 32_000,
        "a" * 65_000 + '"',
        "a " * 32_000,
        "a=" + " " * 65_000,
        "a = " * 16_000,
        "," * 65_000,
        "a," * 32_000,
        "a a=a," * 10_000,
        "Basic " + "a" * 65_000 + '"',
        "Basic " + "=" * 65_000,
        "Basic a" + "=" * 65_000 + '"',
        "Basic x=" + "y" * 65_000 + '"',
        "\x00" * 65_000,
    ],
    ids=lambda value: ascii(value)[1:19],
)
@pytest.mark.timeout(5)  # half a minute each, if the reader tries again and again
def test_a_long_value_is_read_in_linear_time(value: str) -> None:
    parse_challenges([value])


@pytest.mark.parametrize(
    ("challenge", "realm", "shown"),
    [
        (Challenge("NTLM"), None, "<Challenge NTLM>"),
        (Challenge("Negotiate", "YII="), None, "<Challenge Negotiate>"),
        (Challenge("Basic", None, {"realm": "corp"}), "corp", "<Challenge Basic realm='corp'>"),
        (
            Challenge("Digest", None, {"realm": "corp", "nonce": "s3cr3t"}),
            "corp",
            "<Challenge Digest realm='corp'>",
        ),
    ],
    ids=["bare", "AU-24 a token is not shown", "a realm", "AU-24 a nonce is not shown"],
)
def test_a_challenge(challenge: Challenge, realm: str | None, shown: str) -> None:
    assert challenge.realm == realm
    assert repr(challenge) == shown
    match challenge:
        case Challenge(scheme, token68, params):
            assert Challenge(scheme, token68, params) == challenge
    for same in (copy.copy(challenge), copy.deepcopy(challenge)):
        assert same == challenge
        assert hash(same) == hash(challenge)


@pytest.mark.parametrize(
    ("challenge", "kept"),
    [
        (Challenge("NTLM"), Challenge("NTLM")),
        (Challenge("Negotiate", "czNjcjN0"), Challenge("Negotiate")),
        (
            Challenge("Basic", None, {"realm": "corp", "charset": "UTF-8"}),
            Challenge("Basic", None, {"realm": "corp", "charset": "UTF-8"}),
        ),
        (
            Challenge(
                "Digest",
                None,
                {
                    "realm": "corp",
                    "nonce": "s3cr3t",
                    "opaque": "s3cr3t",
                    "domain": "/s3cr3t",
                    "algorithm": "MD5",
                    "qop": "auth",
                    "stale": "true",
                    "userhash": "true",
                },
            ),
            Challenge(
                "Digest",
                None,
                {
                    "realm": "corp",
                    "algorithm": "MD5",
                    "qop": "auth",
                    "stale": "true",
                    "userhash": "true",
                },
            ),
        ),
        (Challenge("Other", None, {"ticket": "s3cr3t"}), Challenge("Other")),
    ],
    ids=["bare", "a token", "all of Basic", "a nonce and an opaque", "what nobody knows"],
)
def test_au_24_a_pickle_of_it_is_fit_for_a_file(challenge: Challenge, kept: Challenge) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(challenge, protocol)
        assert b"s3cr3t" not in pickled
        assert b"czNjcjN0" not in pickled
        assert pickle.loads(pickled) == kept


@pytest.mark.parametrize(
    "other",
    [Challenge("b"), Challenge("a", "t"), Challenge("a", None, {"realm": "x"}), "a"],
    ids=["scheme", "token68", "params", "kind"],
)
def test_challenges_that_differ(other: object) -> None:
    assert other != Challenge("a")


def test_it_cannot_be_changed() -> None:
    params = {"realm": "x"}
    challenge: Any = Challenge("Basic", None, params)
    params["realm"] = "y"
    assert challenge.realm == "x"
    with pytest.raises(TypeError):
        challenge.params["realm"] = "y"
    with pytest.raises(AttributeError):
        challenge.scheme = "Digest"
