"""Digest: the numbers, how they are written, and when a challenge is answered again."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import Challenge, ProxyMisbehaved, ProxyResponse, Target
from connect_tunnel._explain import challenges_of
from connect_tunnel._login import Login
from connect_tunnel._route import Hop
from connect_tunnel._secret import Secret
from connect_tunnel.auth import Digest, Exchange, parse_challenges
from connect_tunnel.auth._auth import Unable
from connect_tunnel.auth._nonce import Nonce, Owner, new_cnonce, supported
from connect_tunnel.testing import replay
from tests.core.flows import (
    FORBIDDEN,
    GRANTED,
    PROXY,
    TARGET,
    UNAUTHORIZED,
    granted,
    talk,
    wants,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connect_tunnel.auth._nonce import Proof

# ---- numbers ----


def proof_of(  # noqa: PLR0913 - what a proof is made of
    challenge: dict[str, str],
    user: str,
    password: str,
    uri: str,
    *,
    cnonce: str | None = None,
    method: str = "CONNECT",
    uses: int = 1,
) -> Proof:
    """The last of so many uses of a nonce."""
    offered = Challenge("Digest", None, challenge)
    assert supported(offered)
    nonce = Nonce(offered, Owner(offered, user, Secret(password), cnonce))
    return [nonce.prove(uri, method=method) for _ in range(uses)][-1]


def fields_of(proof: Proof) -> dict[str, str]:
    """The parameters of a Proxy-Authorization, as they are written."""
    scheme, _, params = proof.credentials.reveal().decode("latin-1").partition(" ")
    assert scheme == "Digest"
    pairs = re.findall(r'([a-z*]+)=("(?:\\.|[^"\\])*"|[^",]+)(?:, |$)', params)
    assert ", ".join(f"{name}={value}" for name, value in pairs) == params
    return dict(pairs)


HOST = "server.example.com:443"
MD5_HA1 = "d5c71340dc17e529913159d7b01ff50c"
SHA_HA1 = "530ca0a2fc1f8ba3f9b0e3798e6cc8052779deecc31c6276d1ae81789c9a0325"


def offer(algorithm: str, qop: str | None) -> dict[str, str]:
    challenge = {"realm": "corp-proxy", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c0"}
    return challenge | {"algorithm": algorithm} | ({} if qop is None else {"qop": qop})


WORKED: list[tuple[str, dict[str, str], str, int, str, str]] = [
    # id, the challenge, uri, nc, A1 as it is hashed, response
    ("AU-11 MD5", offer("MD5", "auth"), HOST, 1, MD5_HA1, "bf57f49e2e0fb45e7099e55781329856"),
    (
        "AU-11 auth-int",
        offer("MD5", "auth-int"),
        HOST,
        1,
        MD5_HA1,
        "b90b465f61da703f151fa55fa1f60a43",
    ),
    ("AU-11 RFC 2069", offer("MD5", None), HOST, 1, MD5_HA1, "b6d8020094a505edf43af1cabbb220a4"),
    (
        "AU-16 MD5-sess",
        offer("MD5-sess", "auth"),
        HOST,
        1,
        "7411cc91812c7f35714a79909456a844",
        "294c5a44d458d2880b55dacc3948df69",
    ),
    (
        "AU-14 SHA-256",
        offer("SHA-256", "auth"),
        HOST,
        1,
        SHA_HA1,
        "43520b074510cacf15720627dc5b873c7c5be712d864adbcb85328da823900b6",
    ),
    (
        "AU-13 SHA-256, the second time",
        offer("SHA-256", "auth"),
        HOST,
        2,
        SHA_HA1,
        "f158b2f98e7b5361b700b806ffffa386769e8b2c63caf63e2b474fd805c81fe9",
    ),
    (
        "AU-11 SHA-256, auth-int",
        offer("SHA-256", "auth-int"),
        HOST,
        1,
        SHA_HA1,
        "66310af9ff305aadbbc9c2e550facca2b24b55e2e087e19a7a7f2c3307fc6fae",
    ),
    (
        "AU-16 SHA-256-sess",
        offer("SHA-256-sess", "auth"),
        HOST,
        1,
        "8a534c81fa56076ff1cf11aa030d4ff6f8c328946b603d25c01d5d3c660b92cf",
        "b98b05e490e00d1ddedc2bf294f204f8b6d470b2168c8603eb0ae16f8ab35061",
    ),
    (
        "AU-15 SHA-512-256",
        offer("SHA-512-256", "auth"),
        HOST,
        1,
        "8350545d7636ce55cc9c250604bdeaecdf5310f80037887c7e56f3ab09bfc74a",
        "a4a31e7ee338c420de39a51496cfc017cdf72a1560a63f6f32d21efa9765b822",
    ),
    (
        "AU-10 IPv6",
        offer("SHA-256", "auth"),
        "[2001:db8::1]:443",
        1,
        SHA_HA1,
        "77ce7326b02e1cc95b39006e056ddcdabff0aa6b8a2b7a866a73393fc2de184f",
    ),
]


@pytest.mark.parametrize(
    ("challenge", "uri", "uses", "ha1", "response"),
    [pytest.param(*row[1:], id=row[0]) for row in WORKED],
)
def test_worked_numbers(
    challenge: dict[str, str], uri: str, uses: int, ha1: str, response: str
) -> None:
    """Computed by a script, and six of them by curl as well."""
    password = Secret("s3cret:pw")
    owner = Owner(Challenge("Digest", None, challenge), "alice", password, "0a4f113b")
    assert owner.a1.reveal() == ha1
    proof = proof_of(challenge, "alice", "s3cret:pw", uri, cnonce="0a4f113b", uses=uses)
    assert fields_of(proof)["response"] == f'"{response}"'
    assert fields_of(proof)["uri"] == f'"{uri}"'


RSPAUTH = "e9def96c3913c711bb0cea3d9b3bb634759ca7d0635a008bc40dfa2617c86d9a"


def test_au_19_the_worked_number_of_a_proxy() -> None:
    challenge = offer("SHA-256", "auth")
    proof = proof_of(challenge, "alice", "s3cret:pw", HOST, cnonce="0a4f113b")
    assert proof.check(granted(f'rspauth="{RSPAUTH}"')) is not None
    assert proof.check(granted(f'rspauth="{RSPAUTH[::-1]}"')) is None


def test_au_12_the_whole_field() -> None:
    challenge = {"realm": "corp-proxy", "nonce": "dcd9", "algorithm": "SHA-256", "qop": "auth"}
    challenge["opaque"] = "FQhe"
    proof = proof_of(challenge, "alice", "s3cret:pw", HOST, cnonce="0a4f113b")
    response = fields_of(proof)["response"]
    assert proof.credentials.reveal().decode() == (
        'Digest username="alice", realm="corp-proxy", nonce="dcd9", uri="server.example.com:443", '
        f'cnonce="0a4f113b", nc=00000001, qop=auth, response={response}, algorithm=SHA-256, '
        'opaque="FQhe"'
    )


def others() -> Iterator[Any]:
    """One a line: what others have computed, and whose numbers they are."""
    lines = Path(__file__).with_name("digests.jsonl").read_text("ascii").splitlines()
    for case in map(json.loads, lines):
        yield pytest.param(case, id=f"AU-11 {case['source']} {case['uri']}")


@pytest.mark.parametrize("case", list(others()))
def test_what_others_compute(case: dict[str, Any]) -> None:
    proof = proof_of(
        case["challenge"],
        case["user"],
        case["password"],
        case["uri"],
        cnonce=case.get("cnonce"),
        method=case["method"],
    )
    fields = fields_of(proof)
    assert fields["response"] == f'"{case["response"]}"'
    assert fields["username"] == f'"{case.get("username", case["user"])}"'
    assert ("qop" in fields) is ("nc" in fields) is ("qop" in case["challenge"])


# ---- how they are written ----

NONCE = {"realm": "r", "nonce": "n", "qop": "auth"}


@pytest.mark.parametrize(
    ("challenge", "written"),
    [
        pytest.param({}, {"realm": '"r"', "nonce": '"n"', "uri": f'"{HOST}"'}, id="AU-12 quoted"),
        pytest.param({}, {"nc": "00000001", "qop": "auth"}, id="AU-12 not quoted"),
        pytest.param(
            {}, {"algorithm": None, "opaque": None, "userhash": None}, id="AU-12 left out"
        ),
        pytest.param({"realm": 'a"b\\'}, {"realm": r'"a\"b\\"'}, id="AU-12 quotes in the realm"),
        pytest.param({"realm": ""}, {"realm": '""'}, id="AU-12 an empty realm"),
        pytest.param({"realm": "caf\xe9"}, {"realm": '"caf\xe9"'}, id="AU-12 octets in the realm"),
        pytest.param({"nonce": 'n"'}, {"nonce": r'"n\""'}, id="AU-12 quotes in the nonce"),
        pytest.param({"opaque": 'o"='}, {"opaque": r'"o\"="'}, id="AU-12 an opaque"),
        pytest.param({"algorithm": "mD5"}, {"algorithm": "mD5"}, id="AU-14 as the proxy has it"),
        pytest.param({"qop": "auth-int"}, {"qop": "auth-int"}, id="AU-11 auth-int alone"),
        pytest.param({"qop": "auth-int,auth"}, {"qop": "auth"}, id="AU-11 auth before auth-int"),
        pytest.param({"qop": "crazy, AUTH"}, {"qop": "auth"}, id="AU-11 one that nobody knows"),
        pytest.param(
            {"domain": "/x", "stale": "true"}, {"domain": None, "stale": None}, id="AU-05"
        ),
        pytest.param({"charset": "UTF-8"}, {"charset": None}, id="AU-17 no charset in return"),
    ],
)
def test_how_it_is_written(challenge: dict[str, str], written: dict[str, str | None]) -> None:
    fields = fields_of(proof_of({**NONCE, **challenge}, "u", "p", HOST))
    assert {name: fields.get(name) for name in written} == written


@pytest.mark.parametrize("algorithm", [None, "MD5-sess"])
def test_au_11_what_rfc_2069_has_not(algorithm: str | None) -> None:
    """But of a session the proxy has to know the cnonce all the same."""
    challenge = {"realm": "r", "nonce": "n"} | ({"algorithm": algorithm} if algorithm else {})
    fields = fields_of(proof_of(challenge, "u", "p", HOST))
    assert fields.keys() & {"nc", "qop", "cnonce"} == ({"cnonce"} if algorithm else set())


def computed(algorithm: str, user: bytes, realm: bytes, password: bytes) -> str:
    """The response to NONCE, by other means."""

    def hashed(data: bytes) -> bytes:
        return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest().encode()

    ha1 = hashed(user + b":" + realm + b":" + password)
    ha2 = hashed(b"CONNECT:" + HOST.encode())
    return hashed(b":".join([ha1, b"n", b"00000001", b"c", b"auth", ha2])).decode()


@pytest.mark.parametrize(
    ("challenge", "user", "password", "octets"),
    [
        pytest.param({"realm": "caf\xe9"}, "u", "p", (b"u", b"caf\xe9", b"p"), id="AU-12 a realm"),
        pytest.param({"realm": 'a"b'}, "u", "p", (b"u", b'a"b', b"p"), id="AU-12 unquoted"),
        pytest.param({}, 'u"', "p\\", (b'u"', b"r", b"p\\"), id="AU-12 quotes in the user"),
        pytest.param(
            {}, "Ja\u0308", "a\u0308", ("Ja\u0308".encode(), b"r", "a\u0308".encode()), id="AU-17"
        ),
        pytest.param(
            {"charset": "utf-8"},
            "Ja\u0308",
            "a\u0308",
            (b"J\xc3\xa4", b"r", b"\xc3\xa4"),
            id="AU-17 in normal form C",
        ),
        pytest.param(
            {"charset": "x"}, "\xe4", "\xe4", (b"\xc3\xa4", b"r", b"\xc3\xa4"), id="AU-17 UTF-8"
        ),
    ],
)
def test_which_octets_are_hashed(
    challenge: dict[str, str], user: str, password: str, octets: tuple[bytes, bytes, bytes]
) -> None:
    proof = proof_of({**NONCE, **challenge}, user, password, HOST, cnonce="c")
    assert fields_of(proof)["response"] == f'"{computed("md5", *octets)}"'


JASON = "7b84f733c7b2083e6eff8a79904985ff75eabf7d1bdc0e57ef3375312b298abd"


@pytest.mark.parametrize(
    ("challenge", "user", "named"),
    [
        pytest.param({}, "alice", {"username": '"alice"'}, id="AU-17 ASCII"),
        pytest.param({}, 'a"b\\', {"username": r'"a\"b\\"'}, id="AU-12 quotes"),
        pytest.param({}, "", {"username": '""'}, id="AU-12 empty"),
        pytest.param(
            {}, "a:b", {"username": '"a:b"'}, id="AU-08 a colon, which is for Basic alone"
        ),
        pytest.param({}, "J\xe4son", {"username*": "UTF-8''J%C3%A4son"}, id="AU-17 not ASCII"),
        pytest.param(
            {}, "\u20ac '%", {"username*": "UTF-8''%E2%82%AC%20%27%25"}, id="AU-17 escapes"
        ),
        pytest.param(
            {"charset": "UTF-8"},
            "Ja\u0308son",
            {"username*": "UTF-8''J%C3%A4son"},
            id="AU-17 in normal form C",
        ),
        pytest.param(
            {"userhash": "TRUE", "charset": "UTF-8", "algorithm": "SHA-256", "realm": "corp-proxy"},
            "Ja\u0308son",
            {"username": f'"{JASON}"', "userhash": "true"},
            id="AU-17 hashed",
        ),
        pytest.param({"userhash": "false"}, "u", {"username": '"u"'}, id="AU-17 not hashed"),
    ],
)
def test_how_the_user_is_named(challenge: dict[str, str], user: str, named: dict[str, str]) -> None:
    fields = fields_of(proof_of({**NONCE, **challenge}, user, "p", HOST))
    assert {k: fields[k] for k in fields if k in ("username", "username*", "userhash")} == named


def test_au_24_a_cnonce_is_128_bits_and_new_each_time() -> None:
    seen = {new_cnonce() for _ in range(100)}
    assert len(seen) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", cnonce) for cnonce in seen)
    offered = Challenge("Digest", None, NONCE)
    nonce = Nonce(offered, Owner(offered, "u", Secret("p")))
    sent = [fields_of(nonce.prove(HOST))["cnonce"] for _ in range(9)]
    assert len(set(sent)) == 9


def test_au_16_but_one_for_all_of_a_session() -> None:
    offered = Challenge("Digest", None, {**NONCE, "algorithm": "MD5-sess"})
    nonce = Nonce(offered, Owner(offered, "u", Secret("p")))
    sent = [fields_of(nonce.prove(HOST))["cnonce"] for _ in range(9)]
    assert len(set(sent)) == 1
    another = Nonce(offered, Owner(offered, "u", Secret("p")))
    assert fields_of(another.prove(HOST))["cnonce"] not in sent


def test_au_13_no_number_is_used_twice() -> None:
    """By whichever thread."""
    offered = Challenge("Digest", None, NONCE)
    nonce = Nonce(offered, Owner(offered, "u", Secret("p")))
    with ThreadPoolExecutor(8) as pool:
        proofs = list(pool.map(nonce.prove, [HOST] * 400))
    used = [fields_of(proof)["nc"] for proof in proofs]
    assert sorted(used) == [f"{number:08x}" for number in range(1, 401)]


# ---- which challenge is answered ----


def choose(*challenges: str, md5: bool = True) -> str | None:
    """The realm of the one that is."""
    chosen = Digest("u", "p", md5=md5).choose(parse_challenges(challenges))
    return None if chosen is None else chosen.realm


@pytest.mark.parametrize(
    ("params", "usable"),
    [
        pytest.param("realm=r, nonce=n", True, id="AU-14 MD5 if nothing is said"),
        pytest.param("realm=r, nonce=n, algorithm=MD5", True, id="AU-14 MD5"),
        pytest.param('realm=r, nonce=n, algorithm="mD5"', True, id="AU-14 quoted, in any case"),
        pytest.param("realm=r, nonce=n, algorithm=md5-SESS", True, id="AU-14 a session"),
        pytest.param("realm=r, nonce=n, algorithm=SHA-256", True, id="AU-14 SHA-256"),
        pytest.param("realm=r, nonce=n, algorithm=sha-256-sess", True, id="AU-14 SHA-256-sess"),
        pytest.param("realm=r, nonce=n, algorithm=SHA-512-256", True, id="AU-15 SHA-512-256"),
        pytest.param("realm=r, nonce=n, algorithm=SHA-512-256-sess", True, id="AU-15 -sess"),
        pytest.param("realm=r, nonce=n, algorithm=awezum", False, id="AU-14 unknown"),
        pytest.param("realm=r, nonce=n, algorithm=SHA-512", False, id="AU-15 SHA-512"),
        pytest.param(
            "realm=r, nonce=n, algorithm=MD5-sess-sess", False, id="AU-14 twice a session"
        ),
        pytest.param('realm=r, nonce=n, algorithm=""', False, id="AU-14 empty"),
        pytest.param("realm=r", False, id="AU-14 no nonce"),
        pytest.param('realm=r, nonce=""', True, id="AU-14 an empty nonce is one"),
        pytest.param('realm=r, nonce=n, qop="auth"', True, id="AU-11 auth"),
        pytest.param('realm=r, nonce=n, qop="auth-int"', True, id="AU-11 auth-int"),
        pytest.param('realm=r, nonce=n, qop="crazy"', False, id="AU-11 one that nobody knows"),
        pytest.param('realm=r, nonce=n, qop=""', False, id="AU-11 none of any kind"),
    ],
)
def test_what_can_be_answered(params: str, usable: bool) -> None:
    (challenge,) = parse_challenges([f"dIgEsT {params}"])
    assert supported(challenge) is usable
    assert choose(f"dIgEsT {params}") == ("r" if usable else None)
    assert not supported(Challenge("Basic", None, challenge.params))


MD5 = "Digest realm=md5, nonce=n"
SHA_256 = "Digest realm=sha256, nonce=n, algorithm=SHA-256"
SHA_512 = "Digest realm=sha512, nonce=n, algorithm=SHA-512-256"
FOO = "Digest realm=foo, nonce=n, algorithm=FOO"


@pytest.mark.parametrize(
    ("challenges", "md5", "chosen"),
    [
        pytest.param([SHA_256, MD5], True, "sha256", id="AU-04 the first"),
        pytest.param([MD5, SHA_256], True, "md5", id="AU-04 the first, whichever it is"),
        pytest.param([FOO, MD5], True, "md5", id="AU-04 the first that can be answered"),
        pytest.param([SHA_512, SHA_256, MD5], True, "sha256", id="AU-15 not SHA-512-256"),
        pytest.param([SHA_512, MD5, SHA_256], True, "sha256", id="AU-15 wherever it is"),
        pytest.param([SHA_512, MD5], True, "sha512", id="AU-15 unless it is this or MD5"),
        pytest.param([SHA_512], True, "sha512", id="AU-15 or this or nothing"),
        pytest.param([MD5], False, None, id="AU-03 no MD5"),
        pytest.param([MD5.replace("n", "n, algorithm=MD5-sess")], False, None, id="AU-03 -sess"),
        pytest.param([MD5, SHA_512], False, "sha512", id="AU-03 no MD5, but others"),
        pytest.param(["Basic realm=basic", FOO], True, None, id="AU-14 none"),
        pytest.param([], True, None, id="AU-01 nothing offered"),
    ],
)
def test_which_is_chosen(challenges: list[str], md5: bool, chosen: str | None) -> None:
    assert choose(*challenges, md5=md5) == chosen


@pytest.mark.parametrize(
    ("missing", "chosen"), [("sha512_256", "md5"), ("md5", "sha512"), ("sha256", "sha512")]
)
def test_au_14_a_hash_that_this_build_has_not(
    missing: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = hashlib.new

    def without(name: str, *args: Any, **options: Any) -> Any:
        assert options == {"usedforsecurity": False}  # or FIPS would forbid MD5
        if name == missing:
            raise ValueError("unsupported hash type")
        return new(name, *args, **options)

    monkeypatch.setattr(hashlib, "new", without)
    assert choose(SHA_512, MD5) == chosen


# ---- when it is answered ----

ASKED = wants('Digest realm="r", nonce="n1", qop="auth"')
AGAIN = wants('Digest realm="r", nonce="n2", qop="auth"')
STALE = wants('Digest realm="r", nonce="n3", qop="auth", stale=TRUE')
STALER = wants('Digest realm="r", nonce="n4", qop="auth", stale="true"')
ENDLESS = wants('Digest realm="r", nonce="n5", qop="auth", stale=true')


def uses(auth: Digest, *answers: ProxyResponse, hop: Hop) -> list[tuple[str, str] | None]:
    """What each request carried: a nonce, and how often it was used."""
    told = talk(auth, *answers, hop=hop)
    return [
        None
        if said is None
        else (told.params(number)["nonce"].strip('"'), told.params(number)["nc"])
        for number, said in enumerate(told.sent)
    ]


FIRST, SECOND = "00000001", "00000002"


@pytest.mark.parametrize(
    ("answers", "sent"),
    [
        pytest.param([GRANTED], [None], id="AU-05 not before it is asked"),
        pytest.param([wants("Basic")], [None], id="AU-01 asked for something else"),
        pytest.param([wants(FOO)], [None], id="AU-14 asked for what nobody knows"),
        pytest.param([UNAUTHORIZED], [None], id="AU-23 a 401"),
        pytest.param([ASKED, GRANTED], [None, ("n1", FIRST)], id="AU-01 asked"),
        pytest.param([ASKED, FORBIDDEN], [None, ("n1", FIRST)], id="AU-01 refused"),
        pytest.param([ASKED, AGAIN], [None, ("n1", FIRST)], id="AU-18 a wrong password"),
        pytest.param(
            [ASKED, wants("Basic")], [None, ("n1", FIRST)], id="AU-18 then something else"
        ),
        pytest.param([ASKED, UNAUTHORIZED], [None, ("n1", FIRST)], id="AU-23 rejected by a 401"),
        pytest.param(
            [ASKED, STALE, GRANTED], [None, ("n1", FIRST), ("n3", FIRST)], id="AU-18 stale"
        ),
        pytest.param(
            [ASKED, STALE, AGAIN],
            [None, ("n1", FIRST), ("n3", FIRST)],
            id="AU-18 stale, and a wrong password",
        ),
        pytest.param(
            [ASKED, STALE, STALER], [None, ("n1", FIRST), ("n3", FIRST)], id="AU-18 stale, but once"
        ),
    ],
)
def test_when_it_is_answered(
    answers: list[ProxyResponse], sent: list[tuple[str, str] | None]
) -> None:
    assert uses(Digest("u", "p"), *answers, hop=Hop(PROXY)) == sent


REMEMBERED: list[tuple[str, list[ProxyResponse], list[tuple[str, str] | None]]] = [
    # id, what a second opening is answered, and what it sent
    ("AU-05 no 407 for the second", [GRANTED], [("n1", SECOND)]),
    ("AU-05 nor if that is refused", [FORBIDDEN], [("n1", SECOND)]),
    ("AU-18 stale", [STALE, GRANTED], [("n1", SECOND), ("n3", FIRST)]),
    ("AU-18 old, and nobody says stale", [AGAIN, GRANTED], [("n1", SECOND), ("n2", FIRST)]),
    ("AU-18 replaced once", [AGAIN, AGAIN], [("n1", SECOND), ("n2", FIRST)]),
    (
        "AU-18 replaced, and stale at once",
        [AGAIN, STALE, GRANTED],
        [("n1", SECOND), ("n2", FIRST), ("n3", FIRST)],
    ),
    (
        "AU-18 stale for ever",
        [STALE, STALER, ENDLESS],
        [("n1", SECOND), ("n3", FIRST), ("n4", FIRST)],
    ),
    ("AU-14 replaced by what nobody knows", [wants(FOO)], [("n1", SECOND)]),
    ("AU-23 rejected by a 401", [UNAUTHORIZED], [("n1", SECOND)]),
]


def login(auth: Digest, hop: Hop) -> Login:
    """One that was asked nothing yet, and has sent nothing."""
    begun = Login(auth, hop, TARGET)
    assert replay(begun.begin()).value is None
    return begun


def used(credentials: Secret[bytes] | None) -> str:
    assert credentials is not None
    said = credentials.reveal().decode()
    return " ".join(part for part in said.split(", ") if part.startswith(("nonce", "nc=")))


def test_au_13_two_openings_that_are_challenged_with_the_same_nonce() -> None:
    """As proxies do whose nonces are the time: its uses are counted for both."""
    hop, auth = Hop(PROXY), Digest("u", "p")
    first, second = login(auth, hop), login(auth, hop)
    assert used(replay(first.answer(ASKED)).value) == 'nonce="n1" nc=00000001'
    assert used(replay(second.answer(ASKED)).value) == 'nonce="n1" nc=00000002'


def test_au_18_an_opening_that_is_rejected_leaves_the_nonce_of_another() -> None:
    hop, auth = Hop(PROXY), Digest("u", "p")
    first, second = login(auth, hop), login(auth, hop)
    replay(first.answer(ASKED))
    replay(second.answer(AGAIN))
    assert replay(first.answer(AGAIN)).value is None
    replay(second.conclude(GRANTED))
    assert uses(auth, GRANTED, hop=hop) == [("n2", SECOND)]


def test_au_05_a_nonce_that_is_forgotten_before_it_is_used() -> None:
    """By another opening, between the choice and the answer: then there is none."""
    exchange = login(Digest("u", "p"), Hop(PROXY)).exchange
    with pytest.raises(Unable, match="forgotten meanwhile"):
        next(Digest("u", "p").converse(exchange, None))


@pytest.mark.parametrize(
    ("answers", "sent"), [pytest.param(*row[1:], id=row[0]) for row in REMEMBERED]
)
def test_what_is_remembered(
    answers: list[ProxyResponse], sent: list[tuple[str, str] | None]
) -> None:
    hop, auth = Hop(PROXY), Digest("u", "p")
    assert uses(auth, ASKED, GRANTED, hop=hop) == [None, ("n1", FIRST)]
    assert uses(auth, *answers, hop=hop) == sent
    # What was not rejected is good for the next one, and no other is.
    kept = sent[-1] if answers[-1].status in (200, 403) else None
    following = [kept and (kept[0], f"{int(kept[1]) + 1:08x}")]
    assert uses(auth, hop=hop) == following


@pytest.mark.parametrize(
    ("other", "hop"),
    [
        pytest.param(Digest("u", "q"), None, id="AU-06 another password"),
        pytest.param(Digest("v", "p"), None, id="AU-06 another user"),
        pytest.param(Digest("u", "p"), Hop(PROXY), id="AU-06 another proxy"),
    ],
)
def test_whose_memory_it_is(other: Digest, hop: Hop | None) -> None:
    here = Hop(PROXY)
    uses(Digest("u", "p"), ASKED, GRANTED, hop=here)
    assert uses(other, hop=hop or here) == [None]


def test_au_10_the_uri_is_what_is_asked_for() -> None:
    hop, auth = Hop(PROXY), Digest("u", "p")
    told = talk(auth, ASKED, GRANTED, hop=hop)
    assert told.params()["uri"] == f'"{told.exchange.authority}"' == f'"{HOST}"'
    told = talk(auth, GRANTED, hop=hop, target=Target("2001:db8::1", 443))
    assert told.params()["uri"] == '"[2001:db8::1]:443"'
    assert told.params()["nc"] == SECOND


# ---- what the proxy says of the next ----


@pytest.mark.parametrize(
    ("info", "following"),
    [
        pytest.param('nextnonce="n9"', ("n9", FIRST), id="AU-19 another nonce"),
        pytest.param("nextnonce=n9, qop=auth, nc=00000001", ("n9", FIRST), id="AU-19 and more"),
        pytest.param('nextnonce="n1"', ("n1", SECOND), id="AU-13 the same nonce"),
        pytest.param('nextnonce=""', ("n1", SECOND), id="AU-19 an empty one"),
        pytest.param("nextnonce=a, nextnonce=b", ("n1", SECOND), id="AU-19 two of them"),
        pytest.param('"', ("n1", SECOND), id="AU-19 what nobody can read"),
        pytest.param("", ("n1", SECOND), id="AU-19 nothing"),
    ],
)
@pytest.mark.parametrize("status", [200, 403])
def test_au_19_the_nonce_for_the_next(info: str, following: tuple[str, str], status: int) -> None:
    hop, auth = Hop(PROXY), Digest("u", "p")
    fields = f"Proxy-Authentication-Info: {info}\r\n".encode()
    talk(auth, ASKED, ProxyResponse(status, fields=fields), hop=hop)
    assert uses(auth, hop=hop) == [following]


def test_au_13_two_openings_that_are_told_of_the_same_next_one() -> None:
    """Who is told of it later counts on, rather than from 1."""
    hop, auth = Hop(PROXY), Digest("u", "p")
    talk(auth, ASKED, granted("nextnonce=n9"), hop=hop)
    slow = auth.flow(exchange := Exchange(PROXY, HOST, hop.memory))
    sent: Any = next(slow)
    assert b'nonce="n9", uri="server.example.com:443"' in sent.reveal()
    assert uses(auth, GRANTED, hop=hop) == [("n9", SECOND)]
    assert uses(auth, granted("nextnonce=n10"), hop=hop) == [("n9", "00000003")]
    assert uses(auth, GRANTED, hop=hop) == [("n10", FIRST)]
    exchange.response = granted("nextnonce=n10")
    with pytest.raises(StopIteration):
        slow.send(exchange.response)
    assert uses(auth, hop=hop) == [("n10", SECOND)]


def test_au_16_a_session_goes_on_with_another_nonce() -> None:
    """Its A1 is that of the first nonce and cnonce."""
    hop, auth = Hop(PROXY), Digest("u", "p")
    first = talk(
        auth,
        wants("Digest realm=r, nonce=n, qop=auth, algorithm=MD5-sess"),
        granted("nextnonce=m"),
        hop=hop,
    ).params()
    second = talk(auth, hop=hop).params()
    assert (second["nonce"], second["nc"], second["cnonce"]) == ('"m"', FIRST, first["cnonce"])
    cnonce = first["cnonce"].strip('"')

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    a1 = md5(f"{md5('u:r:p')}:n:{cnonce}")
    expected = md5(f"{a1}:m:00000001:{cnonce}:auth:{md5(f'CONNECT:{HOST}')}")
    assert second["response"] == f'"{expected}"'


def rspauth(password: str, params: dict[str, str]) -> bytes:
    """What a proxy proves itself with that has this password."""

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    values = {name: value.strip('"') for name, value in params.items()}
    parts = [md5(f"u:r:{password}"), *(values[name] for name in ("nonce", "nc", "cnonce", "qop"))]
    proof = md5(":".join([*parts, md5(f":{HOST}")]))
    return f'Proxy-Authentication-Info: rspauth="{proof.upper()}", qop=auth\r\n'.encode()


@pytest.mark.parametrize(
    ("password", "status", "fine"),
    [
        pytest.param("p", 200, True, id="AU-19 the password"),
        pytest.param("q", 200, False, id="AU-19 another"),
        pytest.param("p", 403, True, id="AU-19 the password, and it refuses"),
        pytest.param("q", 403, True, id="AU-19 another, and it refuses, as anybody may"),
    ],
)
def test_a_proxy_that_proves_itself(password: str, status: int, fine: bool) -> None:
    flow = Digest("u", "p").flow(exchange := Exchange(PROXY, HOST))
    assert next(flow) is None
    exchange.response, exchange.challenges = ASKED, challenges_of(ASKED)
    sent: Any = flow.send(ASKED)
    params = dict(pair.split("=", 1) for pair in sent.reveal().decode()[7:].split(", "))
    exchange.response = ProxyResponse(status, fields=rspauth(password, params))
    with pytest.raises(StopIteration if fine else ProxyMisbehaved) as caught:
        flow.send(exchange.response)
    if isinstance(caught.value, ProxyMisbehaved):
        assert "not that of one who knows the password" in str(caught.value)
        assert caught.value.phase == "auth"
        assert caught.value.hint == "it may be another proxy that answers in its place"


# ---- what it is ----


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Digest("u", "p"), True),
        (Digest("v", "p"), False),
        (Digest("u", "q"), False),
        (Digest("u", "p", md5=False), False),
        ("u:p", False),
    ],
    ids=["the same", "user", "password", "md5", "kind"],
)
def test_au_06_its_identity(other: object, same: bool) -> None:
    assert (Digest("u", "p") == other) is same
    assert (hash(Digest("u", "p")) == hash(other)) is same


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        pytest.param("a\n", "s3cr3t", "control characters", id="AU-08 LF in the user"),
        pytest.param("a", "s3cr3t\0", "control characters", id="AU-08 NUL in the password"),
        pytest.param("a", "s3cr3t\ud800", "UTF-8 can encode", id="AU-17 no UTF-8"),
        pytest.param("a", None, "are text", id="no password"),
    ],
)
def test_what_is_no_user_and_password(user: str, password: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Digest(user, password)
    assert "s3cr3t" not in str(caught.value)


def test_au_24_nothing_of_it_is_shown() -> None:
    auth = Digest("alice", "s3cr3t")
    assert repr(auth) == "Digest('alice', ***)"
    assert repr(Digest.__new__(Digest)) == "<Digest in the making>"
    proof = proof_of({**NONCE, "nonce": "s3cr3t"}, "alice", "s3cr3t", HOST, cnonce="s3cr3t")
    offered = Challenge("Digest", None, NONCE)
    nonce = Nonce(offered, Owner(offered, "alice", Secret("s3cr3t")))
    assert (repr(proof), repr(nonce)) == ("<Proof>", "<Nonce>")
    assert copy.copy(auth) is auth
    for secret in (auth, nonce, proof):
        with pytest.raises(TypeError):
            pickle.dumps(secret)
