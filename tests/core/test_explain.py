"""The words for a proxy's no: its status, its evidence, its page, and one thing to try next."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import (
    Challenge,
    Headers,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyResponse,
    Target,
    TunnelRefused,
)
from connect_tunnel._explain import excerpt, refusal, socks_refusal
from connect_tunnel.auth import Exchange

GOAL = Target("db.x", 5432)


def said(status: int, *, sent: bool = False, exchange: Exchange | None = None, **facts: Any) -> str:
    """What the error says of an answer; the proxy and the hop come before it later."""
    facts = {"reason": "No", **facts}
    return str(refusal(ProxyResponse(status, **facts), GOAL, sent=sent, exchange=exchange))


def after(*tried: str, user: str | None = None) -> Exchange:
    """What was tried, for a caller who gave credentials."""
    exchange = Exchange(Proxy("http://proxy.test"), str(GOAL))
    exchange.tried.extend(tried)
    exchange.user = user
    return exchange


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        pytest.param(400, "", id="400"),
        pytest.param(403, "; many proxies allow only some ports, 443 above all", id="403"),
        pytest.param(404, "a web server that does not know CONNECT", id="404"),
        pytest.param(405, "it may be a web server rather than a proxy", id="405"),
        pytest.param(426, "it asks for another version of HTTP", id="426"),
        pytest.param(500, "the proxy looks the target up and dials it itself", id="500"),
        pytest.param(501, "it may be a web server rather than a proxy", id="501"),
        pytest.param(502, "the proxy looks the target up and dials it itself", id="502"),
        pytest.param(503, "the proxy looks the target up and dials it itself", id="503"),
        pytest.param(504, "the proxy looks the target up and dials it itself", id="504"),
        pytest.param(101, "", id="H1-19 101"),
        pytest.param(471, "", id="H1-20 471"),
        pytest.param(600, "", id="H1-20 600"),
    ],
)
def test_what_is_said_of_a_status(status: int, hint: str) -> None:
    message, _, after = said(status).partition("; ")
    assert message == f"refused the tunnel to db.x:5432 ({status} No)"
    assert hint in after
    assert bool(hint) is bool(after)


@pytest.mark.parametrize(
    ("status", "fields", "words"),
    [
        pytest.param(
            302,
            b"Location: http://login.x/\r\n",
            "points to 'http://login.x/', which is not followed: a login page?",
            id="T5 a Location is shown and not followed",
        ),
        pytest.param(300, b"", "points to 'elsewhere', which is not followed", id="T5 no Location"),
        pytest.param(399, b"Location: /\xff\r\n", r"points to '/\xff'", id="T5 odd octets"),
        pytest.param(
            502,
            b"Proxy-Status: p; error=dns_error; rcode=NXDOMAIN\r\n",
            "(502 No); Proxy-Status: p; error=dns_error; rcode=NXDOMAIN; ",
            id="PS Proxy-Status",
        ),
        pytest.param(
            403,
            b"X-Squid-Error: ERR_ACCESS_DENIED 0\r\n",
            "(403 No); X-Squid-Error: ERR_ACCESS_DENIED 0; ",
            id="X-Squid-Error",
        ),
        pytest.param(
            403,
            b"Proxy-Status: \xff\x85\r\n",
            r"Proxy-Status: \xff\x85;",
            id="what could not be printed is escaped",
        ),
        pytest.param(503, b"Retry-After: 120\r\n", "Retry-After: 120", id="Retry-After"),
        pytest.param(405, b"Server: nginx/1.2\r\n", "Server: nginx/1.2", id="Server, if it is one"),
        pytest.param(501, b"Server: nginx/1.2\r\n", "Server: nginx/1.2", id="Server again"),
    ],
)
def test_evidence_in_the_fields(status: int, fields: bytes, words: str) -> None:
    assert words in said(status, fields=fields)


def test_ps_evidence_in_the_trailers() -> None:
    late = Headers(((b"Proxy-Status", b"p; error=connection_refused"),))
    assert "; Proxy-Status: p; error=connection_refused" in said(502, trailers=late)


def test_the_whole_of_a_message() -> None:
    fields = b"X-Squid-Error: ERR_ACCESS_DENIED\r\n"
    page = b"<h1>Blocked by ACME policy</h1>"
    assert said(403, reason="Forbidden", fields=fields, body=page) == (
        "refused the tunnel to db.x:5432 (403 Forbidden); X-Squid-Error: ERR_ACCESS_DENIED; "
        'proxy said "Blocked by ACME policy"; '
        "it is the proxy's decision, not the target's; "
        "many proxies allow only some ports, 443 above all"
    )


def test_of_the_usual_port_nothing_is_guessed() -> None:
    message = str(refusal(ProxyResponse(403, "No"), Target("db.x", 443)))
    assert message.endswith("(403 No); it is the proxy's decision, not the target's")


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        pytest.param("", "(403)", id="H1-23 none"),
        pytest.param("caf\xe9", r"(403 caf\xe9)", id="H1-23 obs-text"),
        pytest.param("a\tb", r"(403 a\tb)", id="H1-23 a tab"),
        pytest.param("x" * 99, f"(403 {'x' * 57}...)", id="H1-23 a long one"),
    ],
)
def test_a_reason_phrase(reason: str, shown: str) -> None:
    assert f"db.x:5432 {shown};" in said(403, reason=reason)


# --- 407 ---

ODD = 'Digest realm="corp", nonce=n, algorithm=FOO'
DIGEST = 'Digest realm="corp", nonce=s3cr3t'
WANTS = "wants authentication for the tunnel to db.x:5432"
REJECTED = "rejected the credentials of 'alice' for the tunnel to db.x:5432"
NEGOTIATE = 'pass auth.Negotiate() to Proxy; pip install "connect_tunnel[negotiate]"'
NTLM = 'pass auth.NTLM(user, password) to Proxy; pip install "connect_tunnel[negotiate]"'
A_PAIR = "pass auth=(user, password) to Proxy"
CHECK = "check the user and the password"
OWN = "for a scheme that is not known here, subclass auth.Auth"


def offering(*offers: str) -> bytes:
    return "".join(f"Proxy-Authenticate: {offer}\r\n" for offer in offers).encode("latin-1")


@pytest.mark.parametrize(
    ("offers", "shown", "advice"),
    [
        pytest.param(["Basic realm=x"], "Basic (realm 'x')", A_PAIR, id="AU-01 Basic"),
        pytest.param(
            [DIGEST, "NTLM"], "Digest (realm 'corp'), NTLM", A_PAIR, id="AU-01 Digest and others"
        ),
        pytest.param(["Negotiate"], "Negotiate", NEGOTIATE, id="AU-20 Negotiate alone"),
        pytest.param(["NTLM"], "NTLM", NTLM, id="AU-20 NTLM alone"),
        pytest.param(["NTLM, Negotiate"], "NTLM, Negotiate", NEGOTIATE, id="AU-20 both"),
        pytest.param(["Bearer"], "Bearer", "pass auth.Bearer(token) to Proxy", id="AU-22 Bearer"),
        pytest.param(["Hoba"], "Hoba", OWN, id="AU-02 what nobody knows"),
        pytest.param([], "no scheme at all", A_PAIR, id="AU-01 nothing"),
        pytest.param(
            ['Basic realm="\xff\x85"'], r"Basic (realm '\xff\x85')", A_PAIR, id="AU-02 odd octets"
        ),
        pytest.param(["A, B, C, D"], "A, B, C, D", OWN, id="AU-01 four"),
        pytest.param(["A, B, C, D, E, F"], "A, B, C, D and 2 more", OWN, id="AU-01 more than four"),
    ],
)
def test_what_is_said_to_those_who_gave_no_credentials(
    offers: list[str], shown: str, advice: str
) -> None:
    assert said(407, fields=offering(*offers)) == (
        f"{WANTS}: it offers {shown}; no credentials were given; {advice}"
    )


@pytest.mark.parametrize(
    ("offers", "tried", "advice"),
    [
        pytest.param(["Basic"], ["Basic"], CHECK, id="AU-18 a wrong password"),
        pytest.param([DIGEST, "Basic"], ["Digest", "Basic"], CHECK, id="AU-18 by both schemes"),
        pytest.param([], ["Basic"], CHECK, id="AU-01 nothing is offered"),
        pytest.param([DIGEST], ["Basic"], A_PAIR, id="AU-03 Basic alone"),
        pytest.param(["Basic, NTLM"], ["Basic"], NTLM, id="AU-20 something stronger"),
        pytest.param(["Negotiate, NTLM"], ["Basic"], NEGOTIATE, id="AU-20 these alone"),
        pytest.param(
            ["Negotiate", DIGEST], ["Negotiate (no ticket)", "Digest"], CHECK, id="AU-20 no ticket"
        ),
        pytest.param(["Hoba"], ["Basic"], OWN, id="AU-02 what nobody knows"),
        pytest.param(
            [ODD],
            ["Basic"],
            "its Digest (algorithm FOO) cannot be answered here",
            id="AU-14 an algorithm that nobody knows",
        ),
        pytest.param(
            ["Digest realm=x"],
            ["Basic"],
            "its Digest (algorithm MD5) cannot be answered here",
            id="AU-14 no nonce",
        ),
        pytest.param([ODD, "NTLM"], ["Basic"], NTLM, id="AU-14 that, and something else"),
    ],
)
def test_what_is_said_to_those_who_were_rejected(
    offers: list[str], tried: list[str], advice: str
) -> None:
    """The name of the user and what was tried, and never more of the credentials."""
    text = said(407, fields=offering(*offers), sent=True, exchange=after(*tried, user="alice"))
    assert text.startswith(f"{REJECTED} (tried {', '.join(tried)}): it offers ")
    assert text.endswith(f"; {advice}")
    assert "s3cr3t" not in text


@pytest.mark.parametrize(
    ("offers", "sent", "exchange", "message"),
    [
        pytest.param(
            ["Basic"],
            True,
            after("Bearer"),
            f"rejected the credentials for the tunnel to db.x:5432 (tried Bearer): "
            f"it offers Basic; {A_PAIR}",
            id="AU-22 a token for which nobody asks",
        ),
        pytest.param(
            ["Bearer"],
            True,
            after("Bearer"),
            "rejected the credentials for the tunnel to db.x:5432 (tried Bearer): it offers Bearer",
            id="AU-22 a token that is not good",
        ),
        pytest.param(
            ["Basic"],
            True,
            after("Basic", user="al\xadice"),
            r"rejected the credentials of 'al\xadice' for the tunnel to db.x:5432 (tried Basic): "
            f"it offers Basic; {CHECK}",
            id="AU-01 a user who cannot be printed",
        ),
        pytest.param(
            ["Basic"],
            True,
            after(),
            "rejected the credentials for the tunnel to db.x:5432: it offers Basic; " + A_PAIR,
            id="AU-01 by a flow of one's own",
        ),
        pytest.param(
            ["Basic"],
            True,
            None,
            "rejected the credentials for the tunnel to db.x:5432: it offers Basic",
            id="AU-01 in a field",
        ),
        pytest.param(
            [DIGEST],
            True,
            None,
            "rejected the credentials for the tunnel to db.x:5432: "
            f"it offers Digest (realm 'corp'); {A_PAIR}",
            id="AU-03 in a field, and a field will not do",
        ),
        pytest.param(
            ["Basic"],
            False,
            after("netrc (no entry for h)"),
            f"{WANTS} (tried netrc (no entry for h)): it offers Basic; {A_PAIR}",
            id="AU-01 found nowhere",
        ),
        pytest.param(
            ["Negotiate"],
            False,
            after("Negotiate (no ticket)"),
            f"{WANTS} (tried Negotiate (no ticket)): it offers Negotiate",
            id="AU-20 no ticket",
        ),
        pytest.param(
            ["NTLM"],
            False,
            after(),
            f"{WANTS}: it offers NTLM; {NTLM}",
            id="AU-01 those that there are fit nothing",
        ),
    ],
)
def test_what_is_said_to_others(
    offers: list[str], sent: bool, exchange: Exchange | None, message: str
) -> None:
    assert said(407, fields=offering(*offers), sent=sent, exchange=exchange) == message


INSTEAD = "it says so with 401, where a proxy has 407"


@pytest.mark.parametrize(
    ("sent", "exchange", "message"),
    [
        pytest.param(
            False,
            None,
            f"{WANTS}: {INSTEAD}; no credentials were given; {A_PAIR}",
            id="AU-23 no credentials",
        ),
        pytest.param(
            False,
            after(),
            f"{WANTS}: {INSTEAD}; "
            "401 is not answered; auth=(user, password) is sent without being asked for",
            id="AU-23 they wait to be asked for",
        ),
        pytest.param(
            True,
            after("Basic", user="alice"),
            f"{REJECTED} (tried Basic): {INSTEAD}; {CHECK}",
            id="AU-23 rejected, as tinyproxy does",
        ),
        pytest.param(
            True,
            after("Bearer"),
            f"rejected the credentials for the tunnel to db.x:5432 (tried Bearer): {INSTEAD}",
            id="AU-23 a token",
        ),
    ],
)
def test_au_23_what_is_said_of_a_401(sent: bool, exchange: Exchange | None, message: str) -> None:
    """Whatever it offers, it offers in the name of an origin."""
    fields = b"WWW-Authenticate: Digest realm=x, nonce=y\r\n"
    assert said(401, fields=fields, sent=sent, exchange=exchange) == message
    assert INSTEAD in said(401, fields=offering("NTLM"), sent=sent, exchange=exchange)


def test_a_407_tells_what_the_proxy_said() -> None:
    page = b"Ask helpdesk HD-4711"
    exchange = after("Basic", user="alice")
    text = said(407, fields=offering("NTLM"), body=page, sent=True, exchange=exchange)
    assert text == (
        f'{REJECTED} (tried Basic): it offers NTLM; proxy said "Ask helpdesk HD-4711"; {NTLM}'
    )


@pytest.mark.parametrize("status", [401, 407])
def test_the_error_of_a_407(status: int) -> None:
    response = ProxyResponse(status, "Auth", fields=offering(DIGEST, "NTLM"))
    error = refusal(response, GOAL, sent=True, exchange=after("Negotiate (no ticket)", "Basic"))
    assert isinstance(error, ProxyAuthenticationRequired)
    assert error.response is response
    assert error.challenges == (
        Challenge("Digest", None, {"realm": "corp", "nonce": "s3cr3t"}),
        Challenge("NTLM"),
    )
    assert error.tried == ("Negotiate (no ticket)", "Basic")
    assert refusal(response, GOAL).__dict__["tried"] == ()


def test_au_24_an_error_that_is_pickled_leaves_the_nonce_behind() -> None:
    error = refusal(ProxyResponse(407, fields=offering(DIGEST)), GOAL, exchange=after("Digest"))
    pickled = pickle.dumps(error)
    assert b"s3cr3t" not in pickled
    same = pickle.loads(pickled)
    assert same.challenges == (Challenge("Digest", None, {"realm": "corp"}),)
    assert same.tried == ("Digest",)
    assert str(same) == str(error)


def test_the_error_of_another_status() -> None:
    response = ProxyResponse(503, fields=b"Retry-After: 3\r\n", body=b"later")
    error = refusal(response, GOAL)
    assert type(error) is TunnelRefused
    assert error.response is response
    assert error.retryable
    assert pickle.loads(pickle.dumps(error)).response == response


# --- the page ---


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"Blocked", "Blocked", id="text"),
        pytest.param(b"  Blocked \r\n\t by\n\npolicy ", "Blocked by policy", id="blanks"),
        pytest.param(b"<h1>Blocked</h1><p>by policy", "Blocked by policy", id="markup"),
        pytest.param(b"<H1 class='a>b'>No", "b'>No", id="markup, read simply"),
        pytest.param(b"a<!-- <b> hidden --> b", "a b", id="a comment"),
        pytest.param(b"a<style>x { }</style > b", "a b", id="a style"),
        pytest.param(b"a<SCRIPT src=x>if (a<b)</script>b", "a b", id="a script"),
        pytest.param(b"<head><title>T</title></head>b", "b", id="a head"),
        pytest.param(b"<header>a</header>b", "a b", id="a header is no head"),
        pytest.param(b"<script>never closed", "never closed", id="a script that never ends"),
        pytest.param(b"1 < 2", "1 < 2", id="no markup"),
        pytest.param(b"caf\xc3\xa9", "café", id="UTF-8"),
        pytest.param(b"caf\xe9", "caf\ufffd", id="no UTF-8"),
        pytest.param(b"a\x00\x1b[31mb", "a\ufffd\ufffd[31mb", id="controls"),
        pytest.param("a\u202eb".encode(), "a\ufffdb", id="bidi controls"),
        pytest.param(b"x" * 200, "x" * 200, id="200 characters"),
        pytest.param(b"x" * 201, "x" * 197 + "...", id="more than 200"),
        pytest.param(b"<bb>" * 2048 + b"late", "", id="text that comes late"),
    ],
)
def test_an_excerpt(body: bytes, shown: str) -> None:
    assert excerpt(ProxyResponse(403, body=body)) == shown


@pytest.mark.parametrize(
    ("coding", "shown"),
    [
        pytest.param(b"gzip", "", id="T20 gzip"),
        pytest.param(b"br, gzip", "", id="T20 two"),
        pytest.param(b"identity", "text", id="T20 none"),
        pytest.param(b"Identity", "text", id="T20 none, in another case"),
    ],
)
def test_nothing_is_decoded(coding: bytes, shown: str) -> None:
    fields = b"Content-Encoding: " + coding + b"\r\n"
    assert excerpt(ProxyResponse(403, fields=fields, body=b"text")) == shown


@pytest.mark.parametrize(
    "body", [b"<", b"<!--", b"<script ", b"<script>", b"</", b"<head><", b" ", b"\x00", b"\xff"]
)
@pytest.mark.timeout(5)
def test_a_hostile_page_takes_no_time(body: bytes) -> None:
    assert len(excerpt(ProxyResponse(403, body=body * (65536 // len(body))))) <= 200


# --- no message is long, or unfit for a log ---


def assert_fit_to_be_shown(error: TunnelRefused) -> None:
    error.proxy_url, error.hop = "http://proxy.example.com:8080", "2 of 3"
    assert len(str(error)) <= 400
    assert str(error).isprintable()
    assert "proxy http://proxy.example.com:8080 (hop 2 of 3) " in str(error)


LONG = Target("a." * 126 + "b", 65535)


ODD_TEXT = "\U0001f600\xad" * 999


@pytest.mark.parametrize(
    ("response", "exchange"),
    [
        (ProxyResponse(403, "\xe9" * 999), None),
        (ProxyResponse(403, body=b"word " * 999), None),
        (ProxyResponse(403, body="\u4e2d".encode() * 999), None),
        (ProxyResponse(302, fields=b"Location: " + b"\xff" * 999 + b"\r\n"), None),
        (
            ProxyResponse(
                502,
                "x" * 99,
                fields=b"Proxy-Status: " + b"\xff" * 999 + b"\r\nX-Squid-Error: " + b"\xff" * 999,
                body=b"page " * 99,
            ),
            None,
        ),
        (ProxyResponse(407, fields=offering("Digest realm=x") * 200), None),
        (ProxyResponse(407, fields=offering('A realm="' + "\xff" * 999 + '"')), None),
        (ProxyResponse(407, fields=offering("x" * 999)), None),
        (ProxyResponse(407, fields=offering("Digest nonce=n, algorithm=" + "x" * 999)), after("A")),
        (ProxyResponse(407, fields=offering(DIGEST)), after(user="u" * 999)),
        (ProxyResponse(407, fields=offering(DIGEST)), after(user=ODD_TEXT)),
        (ProxyResponse(407, fields=offering(DIGEST)), after(*[ODD_TEXT] * 99, user=ODD_TEXT)),
        (ProxyResponse(401, fields=offering(DIGEST)), after(*[ODD_TEXT] * 99, user=ODD_TEXT)),
    ],
    ids=[
        "reason",
        "page",
        "page in Chinese",
        "Location",
        "evidence",
        "challenges",
        "realm",
        "scheme",
        "algorithm",
        "user",
        "odd user",
        "what was tried",
        "what was tried, 401",
    ],
)
@pytest.mark.parametrize("goal", [GOAL, LONG], ids=["target", "long target"])
def test_no_message_is_long(
    response: ProxyResponse, exchange: Exchange | None, goal: Target
) -> None:
    assert_fit_to_be_shown(refusal(response, goal, sent=exchange is not None, exchange=exchange))


@settings(deadline=None, database=None, derandomize=True)
@given(
    status=st.sampled_from([302, 401, 403, 405, 407, 502, 600]),
    reason=st.binary(max_size=99),
    value=st.binary(max_size=99),
    body=st.binary(max_size=999)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")),
)
def test_whatever_a_proxy_says(status: int, reason: bytes, value: bytes, body: bytes) -> None:
    value = value.translate(None, b"\r\n\0")
    names = [b"Location", b"Proxy-Status", b"X-Squid-Error", b"Proxy-Authenticate", b"Server"]
    fields = b"".join(b"%b: %b\r\n" % (name, value) for name in names)
    response = ProxyResponse(status, reason.decode("latin-1"), fields=fields, body=body)
    for exchange in (None, after("Basic", user="alice")):
        assert_fit_to_be_shown(refusal(response, GOAL, sent=True, exchange=exchange))


# ---- SOCKS ----


@pytest.mark.parametrize(
    ("url", "answer", "kind", "said"),
    [
        (
            "socks5h://h", (5, "connection refused", "SOCKS5"), TunnelRefused,
            ("refused the tunnel to db.x:5432 (SOCKS5 reply 5: connection refused); "
            "the name is looked up by the proxy, from where it stands"),
        ),
        (
            "socks4://u@h", (91, "rejected or failed", "SOCKS4"), TunnelRefused,
            ("refused the tunnel to db.x:5432 (SOCKS4 reply 91: rejected or failed); "
            "the name was looked up on this machine; with socks4a:// the proxy does it"),
        ),
        (
            "socks5h://h", (407, "no acceptable method", "SOCKS5"), ProxyAuthenticationRequired,
            ("wants authentication for the tunnel to db.x:5432 (SOCKS5: no acceptable method); "
            "no credentials were given; pass auth=(user, password) to Proxy"),
        ),
        (
            "socks5h://alice:s3cr3t@h", (407, "rejected", "SOCKS5"), ProxyAuthenticationRequired,
            ("rejected the credentials of 'alice' for the tunnel to db.x:5432 (SOCKS5: rejected); "
            "check the user and the password"),
        ),
    ],
    ids=["refused", "SOCKS4", "no method", "no login"],
)  # fmt: skip
def test_what_is_said_of_a_refusal_by_socks(
    url: str, answer: tuple[int, str, str], kind: type[TunnelRefused], said: str
) -> None:
    """LL-04 to LL-07: in the words for its own codes, and with whom it was asked by."""
    response = ProxyResponse(*answer)
    error = socks_refusal(response, GOAL, Proxy(url))
    assert type(error) is kind
    assert error.response is response
    assert str(error) == said
