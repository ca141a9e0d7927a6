"""The proxy variables: which of them decides, what it comes to, and what is said of the rest."""

from __future__ import annotations

import sys
import types
import urllib.request
from typing import TYPE_CHECKING, Any, Self, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import InvalidProxy, InvalidTarget, Proxy, Target
from connect_tunnel.routing import Direct, Environment, Router
from connect_tunnel.routing._dialect import DialectName

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

TARGET = "db.test:443"
OURS: DialectName = "connect_tunnel"


def decide(environ: dict[str, str], scheme: str | None, dialect: DialectName = OURS) -> str | None:
    """The URL of the proxy that is decided on."""
    proxies = Environment(environ, dialect=dialect).decide(TARGET, scheme=scheme).proxies
    return proxies[0].url if proxies else None


def rows(table: list[Any]) -> list[Any]:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


# --- which variable decides ---

UPPER, LOWER = "http://upper:1", "http://lower:1"
BOTH = {"HTTPS_PROXY": UPPER, "https_proxy": LOWER}
CGI = {"REQUEST_METHOD": "GET"}

DECIDED: list[tuple[str, dict[str, str], str | None, str | None]] = [
    ("EN-01 none at all", {}, "https", None),
    ("EN-01 of the scheme", {"https_proxy": LOWER}, "https", LOWER),
    ("EN-01 upper case", {"HTTPS_PROXY": UPPER}, "https", UPPER),
    ("EN-01 lower case wins", BOTH, "https", LOWER),
    ("EN-01 a scheme in upper case", {"https_proxy": LOWER}, "HTTPS", LOWER),
    ("EN-01 no scheme is https", {"https_proxy": LOWER, "http_proxy": UPPER}, None, LOWER),
    ("EN-01 no scheme, and none for https", {"http_proxy": LOWER}, None, None),
    ("EN-01 of another scheme", {"HTTP_PROXY": UPPER}, "https", None),
    ("EN-01 http", {"http_proxy": LOWER, "https_proxy": UPPER}, "http", LOWER),
    ("EN-01 all", {"ALL_PROXY": UPPER}, "https", UPPER),
    ("EN-01 all, with no scheme", {"all_proxy": LOWER}, None, LOWER),
    ("EN-01 all in lower case wins", {"ALL_PROXY": UPPER, "all_proxy": LOWER}, "http", LOWER),
    ("EN-01 of the scheme before all", {"HTTPS_PROXY": UPPER, "all_proxy": LOWER}, None, UPPER),
    ("EN-01 any scheme", {"ftp_proxy": LOWER}, "ftp", LOWER),
    ("EN-01 any scheme, then all", {"all_proxy": LOWER}, "imaps", LOWER),
    ("EN-01 the scheme that is all", {"all_proxy": LOWER}, "all", LOWER),
    ("EN-01 NO_PROXY is of no scheme", {"no_proxy": LOWER}, "no", None),
    ("EN-01 ws", {"ws_proxy": LOWER, "https_proxy": UPPER}, "ws", LOWER),
    ("EN-01 ws, by https", {"https_proxy": LOWER}, "ws", LOWER),
    ("EN-01 ws, by https before http", {"http_proxy": UPPER, "https_proxy": LOWER}, "ws", LOWER),
    ("EN-01 ws, by http", {"http_proxy": LOWER}, "ws", LOWER),
    ("EN-01 wss, by https", {"https_proxy": LOWER}, "wss", LOWER),
    ("EN-01 wss, not by http", {"http_proxy": LOWER}, "wss", None),
    ("EN-01 a mixed case is no variable", {"Https_Proxy": LOWER}, "https", None),
    ("EN-02 HTTP_PROXY", {"HTTP_PROXY": UPPER}, "http", UPPER),
    ("EN-02 T17 HTTP_PROXY in CGI", {"HTTP_PROXY": UPPER, **CGI}, "http", None),
    ("EN-02 T17 http_proxy in CGI", {"http_proxy": LOWER, **CGI}, "http", LOWER),
    ("EN-02 T17 both in CGI", {"HTTP_PROXY": UPPER, "http_proxy": LOWER, **CGI}, "http", LOWER),
    ("EN-02 T17 and then all", {"HTTP_PROXY": UPPER, "ALL_PROXY": LOWER, **CGI}, "http", LOWER),
    ("EN-02 T17 an empty method", {"HTTP_PROXY": UPPER, "REQUEST_METHOD": ""}, "http", None),
    ("EN-02 T17 ws, by http", {"HTTP_PROXY": UPPER, **CGI}, "ws", None),
    ("EN-02 HTTPS_PROXY in CGI", {"HTTPS_PROXY": UPPER, **CGI}, "https", UPPER),
    ("EN-03 empty", {"https_proxy": ""}, "https", None),
    ("EN-03 blank", {"https_proxy": " \t"}, "https", None),
    ("EN-03 empty hides upper case", {"https_proxy": "", "HTTPS_PROXY": UPPER}, "https", None),
    ("EN-03 blank does, too", {"https_proxy": " ", "HTTPS_PROXY": UPPER}, "https", None),
    ("EN-03 empty in upper case", {"HTTPS_PROXY": "", "https_proxy": LOWER}, "https", LOWER),
    ("EN-03 empty, and then all", {"https_proxy": "", "all_proxy": LOWER}, "https", LOWER),
    ("EN-04 no scheme", {"https_proxy": "proxy:3128"}, "https", "http://proxy:3128"),
    ("EN-04 no scheme, no port", {"https_proxy": "proxy"}, "https", "http://proxy:80"),
    ("EN-04 no scheme, IPv6", {"https_proxy": "[::1]:3128"}, "https", "http://[::1]:3128"),
    ("EN-04 no scheme, userinfo", {"https_proxy": "u:p@proxy:1"}, "https", "http://proxy:1"),
    ("EN-04 the port of https", {"https_proxy": "https://proxy"}, "https", "https://proxy:443"),
    ("EN-04 a scheme in upper case", {"https_proxy": "HTTP://Proxy"}, None, "http://proxy:80"),
    ("EN-04 blanks round it", {"https_proxy": " http://proxy:1\n"}, "https", "http://proxy:1"),
    ("EN-04 SOCKS", {"https_proxy": "socks5://p"}, "https", "socks5://p:1080"),
    ("EN-04 SOCKS of version 4", {"https_proxy": "SOCKS4a://p:9"}, "https", "socks4a://p:9"),
    ("EN-05 SOCKS of no version", {"ALL_PROXY": "socks://p:1080/"}, None, "socks5h://p:1080"),
    ("EN-05 the same in upper case", {"ALL_PROXY": "SOCKS://p"}, None, "socks5h://p:1080"),
    ("EN-05 only in front", {"ALL_PROXY": "u:socks@p:1"}, None, "http://p:1"),
    ("a Unix socket", {"ALL_PROXY": "unix:/run/p"}, None, Proxy("unix:/run/p").url),
    ("a Unix socket, as a URL", {"ALL_PROXY": "Unix:///run/p"}, None, Proxy("unix:/run/p").url),
    ("EN-06 a cleartext proxy for https", {"HTTPS_PROXY": UPPER}, "https", UPPER),
    ("EN-06 TLS to the proxy, for http", {"http_proxy": "https://p"}, "http", "https://p:443"),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "scheme", "url"), rows(DECIDED))
def test_which_variable_decides(
    environ: dict[str, str], scheme: str | None, url: str | None
) -> None:
    assert decide(environ, scheme) == url


BOTH_ALL = {"ALL_PROXY": UPPER, "all_proxy": LOWER}

DIALECTS = [  # id, variables, scheme, and what decides in ours, curl, go and requests
    ("EN-01 the case that wins", BOTH, "https", [LOWER, LOWER, UPPER, LOWER]),
    ("EN-01 ALL_PROXY", BOTH_ALL, "https", [LOWER, LOWER, None, LOWER]),
    ("EN-02 HTTP_PROXY", {"HTTP_PROXY": UPPER}, "http", [UPPER, None, UPPER, UPPER]),
    ("EN-02 in CGI", {"HTTP_PROXY": UPPER, **CGI}, "http", [None, None, None, None]),
    (
        "EN-03 empty in lower case",
        {"https_proxy": "", "HTTPS_PROXY": UPPER},
        "https",
        [None, UPPER, UPPER, None],
    ),
    (
        "EN-03 empty in upper case",
        {"https_proxy": LOWER, "HTTPS_PROXY": ""},
        "https",
        [LOWER, LOWER, LOWER, LOWER],
    ),
    (
        "EN-03 an empty list in lower case",
        {"https_proxy": LOWER, "no_proxy": " ", "NO_PROXY": "*"},
        "https",
        [LOWER, None, None, LOWER],
    ),
    (
        "EN-01 two lists",
        {"https_proxy": LOWER, "no_proxy": "a.test", "NO_PROXY": "*"},
        "https",
        [LOWER, LOWER, None, LOWER],
    ),
]


@pytest.mark.parametrize(("environ", "scheme", "urls"), rows(DIALECTS))
def test_which_variable_decides_in_each_dialect(
    environ: dict[str, str], scheme: str, urls: list[str | None]
) -> None:
    assert [decide(environ, scheme, dialect) for dialect in get_args(DialectName)] == urls


def test_a_dialect_that_is_not_there() -> None:
    unknown: Any = "wget"
    with pytest.raises(ValueError, match="the dialects are connect_tunnel, curl, go, requests"):
        Environment({}, dialect=unknown)


# --- what is said of it ---

RULES: list[tuple[str, dict[str, str], str | None, str]] = [
    ("nothing", {}, None, "https_proxy is not set, all_proxy is not set"),
    ("a variable", {"HTTPS_PROXY": UPPER}, None, "HTTPS_PROXY names the proxy"),
    ("all", {"ALL_PROXY": UPPER}, None, "https_proxy is not set, ALL_PROXY names the proxy"),
    ("an empty one", {"https_proxy": ""}, None, "https_proxy is empty, all_proxy is not set"),
    (
        "one that cannot be read, and all",
        {"https_proxy": "gopher://p", "all_proxy": LOWER},
        None,
        "https_proxy cannot be read, all_proxy names the proxy",
    ),
    (
        "one that cannot be read, and no other",
        {"https_proxy": "gopher://p"},
        None,
        "https_proxy cannot be read, all_proxy is not set",
    ),
    (
        "one that cannot be read, and an empty one",
        {"https_proxy": "gopher://p", "HTTPS_PROXY": ""},
        None,
        "https_proxy cannot be read, all_proxy is not set",
    ),
    (
        "one that cannot be read, and its twin",
        {"https_proxy": "gopher://p", "HTTPS_PROXY": UPPER},
        None,
        "HTTPS_PROXY names the proxy",
    ),
    ("of any scheme", {"ftp_proxy": "gopher://p"}, "ftp", "ftp_proxy cannot be read, all_proxy is"),
    ("of an odd scheme", {}, "ü" * 99, r"\xfc\xfc\xfc"),
    ("T17", {"HTTP_PROXY": UPPER, **CGI}, "http", "HTTP_PROXY is not read, all_proxy is not set"),
    (
        "an entry",
        {"https_proxy": LOWER, "NO_PROXY": "a.test, .test"},
        None,
        "entry 2 of NO_PROXY, '.test', exempts it",
    ),
    (
        "the first entry of those that match",
        {"no_proxy": "a.test *.test *", "NO_PROXY": "db.test"},
        None,
        "entry 2 of no_proxy, '*.test', exempts it",
    ),
]


@pytest.mark.parametrize(("environ", "scheme", "rule"), rows(RULES))
def test_the_rule_is_said(environ: dict[str, str], scheme: str | None, rule: str) -> None:
    said = Environment(environ).decide(TARGET, scheme=scheme).rule
    assert said.startswith(rule)
    assert_fit_to_be_shown(said)


def test_loopback_is_said() -> None:
    environment = Environment({"https_proxy": LOWER})
    assert environment.decide("localhost:443").rule == "loopback goes direct"


WARNINGS: list[tuple[str, dict[str, str], list[str]]] = [  # id, variables, what is warned of
    ("nothing", {"https_proxy": LOWER, "no_proxy": "a.test"}, []),
    ("empty", {"https_proxy": "", "no_proxy": ""}, []),
    ("EN-04 an unknown scheme", {"https_proxy": "gopher://p"}, ["https_proxy: the URL of a proxy"]),
    ("a port", {"ALL_PROXY": "http://p:0"}, ["ALL_PROXY: the port of the proxy is not a number"]),
    ("no host", {"http_proxy": "http:///"}, ["http_proxy: the host of the proxy is not a name"]),
    ("a path", {"http_proxy": "http://p:1/x"}, ["http_proxy: the URL of a proxy cannot be read"]),
    ("a blank", {"http_proxy": "http://p q"}, ["http_proxy: the URL of a proxy cannot be read"]),
    ("quotes", {"http_proxy": "'http://p'"}, ["http_proxy: "]),
    (
        "several",
        {"https_proxy": "gopher://p", "HTTPS_PROXY": "p:x", "NO_PROXY": "%", "wss_proxy": "p:x"},
        ["https_proxy: ", "HTTPS_PROXY: ", "wss_proxy: ", "NO_PROXY: entry 1, '%', is skipped"],
    ),
    ("of a scheme that may be no scheme", {"npm_proxy": "/usr/bin/p", "X_PROXY": "p:x"}, []),
    ("of what is no scheme", {"npm_config_proxy": "p:x", "CONNECT_TUNNEL_PROXY": "p:x"}, []),
    (
        "EN-02 T17 CGI",
        {"HTTP_PROXY": UPPER, **CGI},
        ["HTTP_PROXY is not read, as REQUEST_METHOD is set: in CGI it may be a field"],
    ),
    ("CGI without it", {"http_proxy": LOWER, **CGI}, []),
]


@pytest.mark.parametrize(("environ", "expected"), rows(WARNINGS))
def test_what_is_not_used_is_warned_of(environ: dict[str, str], expected: list[str]) -> None:
    warnings = Environment(environ).warnings
    assert len(warnings) == len(expected)
    for warning, start in zip(warnings, expected, strict=True):
        assert warning.startswith(start)
        assert_fit_to_be_shown(warning)


@pytest.mark.parametrize(("environ", "expected"), rows(WARNINGS))
def test_strictly_what_cannot_be_read_is_an_error(
    environ: dict[str, str], expected: list[str]
) -> None:
    if not expected or "REQUEST_METHOD" in environ:  # which is read, and is not used on purpose
        assert Environment(environ, strict=True).warnings == Environment(environ).warnings
        return
    with pytest.raises(InvalidProxy) as caught:
        Environment(environ, strict=True)
    assert str(caught.value).startswith(expected[0])


SECRETS = [
    {"https_proxy": "http://alice:s3cr3t@proxy:x"},
    {"https_proxy": "alice:s3cr3t@proxy:x"},
    {"https_proxy": "http://alice:s3cr3t word@proxy:1"},
    {"https_proxy": "gopher://alice:s3cr3t@proxy"},
    {"https_proxy": "http://alice:s3cr3t#@proxy"},
    {"https_proxy": "http://alice:%zs3cr3t@proxy"},
    {"https_proxy": "http://proxy:s3cr3t"},
    {"https_proxy": "http://s3cr3t:"},
    {"https_proxy": "http://alice:s3cr3t@proxy:1", "NO_PROXY": "%"},
    {"no_proxy": "http://alice:s3cr3t,x@proxy"},
]


@pytest.mark.parametrize("environ", SECRETS)
def test_au_07_no_value_is_shown(environ: dict[str, str]) -> None:
    environment = Environment(environ)
    decision = environment.decide(TARGET)
    assert environment.warnings
    shown = [*environment.warnings, decision.rule, repr(decision), repr(environment)]
    assert "s3cr3t" not in " ".join(shown)


@pytest.mark.parametrize("environ", SECRETS)
def test_au_07_an_error_keeps_no_value(environ: dict[str, str]) -> None:
    with pytest.raises(InvalidProxy) as caught:
        Environment(environ, strict=True)
    assert "s3cr3t" not in repr(caught.value) + str(caught.value)
    assert caught.value.__context__ is None
    frames = list(ours(caught.tb))
    assert frames
    assert "s3cr3t" not in repr(frames)


def ours(traceback: TracebackType | None) -> Iterator[dict[str, object]]:
    """The locals of the library's frames."""
    while traceback is not None:
        if "connect_tunnel" in traceback.tb_frame.f_globals["__name__"]:
            yield traceback.tb_frame.f_locals
        traceback = traceback.tb_next


# --- the object ---


def test_the_environment_of_the_process_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"https_proxy": LOWER})
    environment = Environment()
    monkeypatch.setattr("os.environ", {"https_proxy": UPPER})
    assert environment.decide(TARGET).proxies == (Proxy(LOWER),)


def test_an_environment_that_is_given_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"https_proxy": LOWER})
    given = dict[str, str]()
    environment = Environment(given)
    given["https_proxy"] = UPPER
    assert environment.decide(TARGET).proxies == ()


def test_credentials_are_kept() -> None:
    (proxy,) = Environment({"https_proxy": "alice:s3cr3t@p:1"}).decide(TARGET).proxies
    assert proxy == Proxy("http://p:1", auth=("alice", "s3cr3t"))


def test_it_is_a_router() -> None:
    environment = Environment({"https_proxy": LOWER, "no_proxy": "a.test"})
    assert isinstance(environment, Router)
    for target in (Target("b.test", 1), Target("a.test", 1)):
        program = environment.route(target)
        with pytest.raises(StopIteration) as end:
            next(program)
        assert end.value.value == environment.decide(target)


@pytest.mark.parametrize("target", ["db.test", "https://db.test:443", ("db test", 443), None])
def test_a_target_that_is_none(target: Any) -> None:
    with pytest.raises(InvalidTarget):
        Environment({}).decide(target)


def test_it_cannot_be_changed() -> None:
    environment = Environment({})
    with pytest.raises(AttributeError):
        environment.warnings = ()


def test_its_repr() -> None:
    environment = Environment({"https_proxy": LOWER, "ALL_PROXY": "", "no_proxy": "a b"})
    assert repr(environment) == (
        "<Environment: ALL_PROXY is empty, https_proxy names the proxy, 2 exemptions>"
    )


# --- the settings of the system ---


class Key:
    """An open key of the registry."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What macOS has in its settings, to be filled in."""
    said: dict[str, Any] = {"proxies": {"https": "http://mac:1"}, "settings": {}}
    monkeypatch.setattr(sys, "platform", "darwin")
    for name, key in (
        ("getproxies_macosx_sysconf", "proxies"),
        ("_get_proxy_settings", "settings"),
    ):
        monkeypatch.setattr(urllib.request, name, lambda key=key: said[key], raising=False)
    return said


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Windows has in its registry, to be filled in."""
    said: dict[str, Any] = {"proxies": {"https": "http://win:1"}, "ProxyOverride": None}

    def open_key(root: int, path: str) -> Key:
        assert (root, path) == (1, r"Software\Microsoft\Windows\CurrentVersion\Internet Settings")
        return Key()

    def query(key: Key, name: str) -> tuple[str, int]:
        if said[name] is None:
            raise FileNotFoundError(name)
        return said[name], 1

    winreg: Any = types.ModuleType("winreg")
    winreg.HKEY_CURRENT_USER = 1
    winreg.OpenKey = open_key
    winreg.QueryValueEx = query
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "winreg", winreg)
    monkeypatch.setattr(
        urllib.request, "getproxies_registry", lambda: said["proxies"], raising=False
    )
    return said


def system(target: str, environ: dict[str, str] | None = None, scheme: str | None = None) -> str:
    """What is decided, with the settings of the system."""
    decision = Environment(environ or {}, system=True).decide(target, scheme=scheme)
    return f"{decision}: {decision.rule}"


UNSET = "https_proxy is not set, all_proxy is not set"


@pytest.mark.usefixtures("macos")
def test_the_system_is_asked_where_no_variable_decides() -> None:
    found = "through http://mac:1: "
    named = "the system's settings name the proxy"
    assert system(TARGET) == f"{found}{UNSET}, {named}"
    assert system(TARGET, {"https_proxy": "gopher://p"}).startswith(
        f"{found}https_proxy cannot be read"
    )
    assert system(TARGET, scheme="wss").startswith(found)
    assert system(TARGET, {"https_proxy": LOWER}).startswith(f"through {LOWER}")
    assert system(TARGET, {"no_proxy": "db.test"}).startswith("direct: entry 1 of no_proxy")
    assert system("localhost:443") == "direct: loopback goes direct"
    assert system(TARGET, scheme="ftp").endswith("the system's settings name none")
    assert Environment({}).decide(TARGET).rule == UNSET  # and only if it is wanted


@pytest.mark.parametrize(
    ("exception", "target", "exempt"),
    rows(
        [
            ("a name", "db.test", TARGET, True),
            ("in another case", "DB.Test", TARGET, True),
            ("a glob", "*.test", TARGET, True),
            ("another glob", "*.local", TARGET, False),
            ("a name with a dot at its end", "*.test", "db.test.:1", True),
            ("a short network", "169.254/16", "169.254.1.2:1", True),
            ("beside it", "169.254/16", "169.253.1.2:1", False),
            ("a network by its octets", "10.1", "10.1.2.3:1", True),
            ("beside those", "10.1", "10.2.2.3:1", False),
            ("a whole address", "10.1.2.3", "10.1.2.3:1", True),
            ("an address that is mapped", "10.1.2.3", "[::ffff:10.1.2.3]:1", True),
            ("a name is in no network", "0.0.0.0/0", TARGET, False),
            ("a network of IPv6", "fe80::/10", "[fe80::1]:1", True),
            ("too many bits", "10.1/99", "10.1.2.3:1", False),
            ("no octets", "999.1/16", "10.1.2.3:1", False),
        ]
    ),
)
def test_the_exceptions_of_macos(
    macos: dict[str, Any], exception: str, target: str, *, exempt: bool
) -> None:
    macos["settings"] = {"exceptions": [None, "", exception]}
    assert system(target).startswith("direct" if exempt else "through http://mac:1")


def test_simple_names_on_macos(macos: dict[str, Any]) -> None:
    assert system("intranet:80").startswith("through")
    macos["settings"] = {"exclude_simple": 1}
    assert system("intranet:80") == f"direct: {UNSET}, the system's settings exempt '<local>'"
    assert system("intranet.test:80").startswith("through")
    assert system("[2001:db8::1]:80").startswith("through")


@pytest.mark.parametrize(
    ("override", "target", "exempt"),
    rows(
        [
            ("none", None, TARGET, False),
            ("empty", "", TARGET, False),
            ("a glob", " a.test ;*.TEST;", TARGET, True),
            ("a glob of an address", "10.*", "10.1.2.3:1", True),
            ("simple names", "<local>", "intranet:80", True),
            ("no simple name", "<local>", TARGET, False),
        ]
    ),
)
def test_the_exceptions_of_windows(
    windows: dict[str, Any], override: str | None, target: str, *, exempt: bool
) -> None:
    windows["ProxyOverride"] = override
    assert system(target).startswith("direct" if exempt else "through http://win:1")


def test_settings_that_cannot_be_read(windows: dict[str, Any]) -> None:
    windows["proxies"] = {"https": "gopher://alice:s3cr3t@win"}
    assert system(TARGET) == f"direct: {UNSET}, the system's settings cannot be read"
    (warning,) = Environment({}, system=True).warnings
    assert warning.startswith("the system's proxy for https: the URL of a proxy has an unknown")
    with pytest.raises(InvalidProxy, match="the system's proxy for https"):
        Environment({}, system=True, strict=True)


def test_en_09_the_system_looks_no_name_up(
    macos: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    macos["settings"] = {"exceptions": ["169.254/16"]}
    monkeypatch.delattr("socket.gethostbyname")
    monkeypatch.delattr("socket.getaddrinfo")
    assert system(TARGET).startswith("through")


def test_a_system_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert system(TARGET) == f"direct: {UNSET}, the system's settings name none"


# --- whatever they hold ---

properties = settings(deadline=None, database=None, derandomize=True, max_examples=200)
anything = st.text(st.characters(), max_size=60)  # lone surrogates, which os.environ may have, too
plausible = st.from_regex(
    r"(https?|socks5h?|unix|ftp)?(://)?([a-z:%@ü#]{0,9}@)?[a-z0-9.\[\]:%ü]{0,12}(:[0-9]{0,6})?/?",
    fullmatch=True,
)
names = st.sampled_from(
    ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "ws_proxy", "request_method"]
).flatmap(lambda name: st.sampled_from([name, name.upper()]))
schemes = st.none() | st.sampled_from(["http", "https", "ws", "wss", "no", "all"]) | anything
TARGETS = ["db.test:443", "localhost:1", "192.0.2.1:80", "[2001:db8::1]:443", "[::ffff:7f00:1]:1"]


def assert_fit_to_be_shown(words: str) -> None:
    assert words.isascii(), words
    assert words.isprintable(), words
    assert len(words) <= 500


@properties
@given(
    environ=st.dictionaries(names | anything, anything | plausible, max_size=8),
    dialect=st.sampled_from(get_args(DialectName)),
    scheme=schemes,
    loopback=st.none() | st.booleans(),
)
def test_nothing_in_any_variable_makes_it_raise(
    environ: dict[str, str], dialect: DialectName, scheme: str | None, *, loopback: bool | None
) -> None:
    environment = Environment(environ, dialect=dialect, loopback_direct=loopback)
    for target in TARGETS:
        decision = environment.decide(target, scheme=scheme)
        assert len(decision.ways) == 1
        assert_fit_to_be_shown(decision.rule)
    for warning in environment.warnings:
        assert_fit_to_be_shown(warning)


@properties
@given(before=plausible | anything, after=plausible | anything, name=names)
def test_au_07_no_part_of_a_value_is_shown(before: str, after: str, name: str) -> None:
    environment = Environment({name: f"{before}S3CR3T@{after}", "https_proxy": LOWER})
    decisions = [environment.decide(TARGET, scheme=scheme) for scheme in ("http", "https", "ws")]
    words = [repr(environment), *map(repr, decisions), *environment.warnings]
    assert "s3cr3t" not in " ".join(words).lower()


def test_direct_is_no_environment() -> None:
    assert not isinstance(Direct(), Environment)
