"""`connect-tunnel explain`, by what it prints and its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, get_args

import pytest

from connect_tunnel.cli import main
from connect_tunnel.cli.explain import _DIALECTS
from connect_tunnel.routing._dialect import DialectName

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[str, str]]

TARGET = "db.example:5432"


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in an environment of these variables, and give both its outputs."""

    def run(*arguments: str, **environ: str) -> tuple[str, str]:
        monkeypatch.setattr("os.environ", environ)
        assert main(["explain", *arguments]) == 0
        return capfd.readouterr()

    return run


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        pytest.param(
            [TARGET],
            {},
            "db.example:5432 goes direct: https_proxy is not set, all_proxy is not set",
            id="nothing is set",
        ),
        pytest.param(
            [TARGET],
            {"HTTPS_PROXY": "alice:s3cr3t@proxy.corp:3128"},
            "db.example:5432 goes through http://proxy.corp:3128: HTTPS_PROXY names the proxy",
            id="a proxy",
        ),
        pytest.param(
            ["DB.Example.:5432"],
            {"HTTPS_PROXY": "proxy.corp", "NO_PROXY": "10.0.0.0/8, .example"},
            "db.example.:5432 goes direct: entry 2 of NO_PROXY, '.example', exempts it",
            id="an exemption",
        ),
        pytest.param(
            [TARGET, "--scheme", "http"],
            {"HTTPS_PROXY": "proxy.corp"},
            "db.example:5432 goes direct: http_proxy is not set, all_proxy is not set",
            id="a scheme",
        ),
        pytest.param(
            ["[2001:DB8::1]:443", "--dialect", "go"],
            {"HTTPS_PROXY": "proxy.corp", "NO_PROXY": "[2001:db8::1]:443", "ALL_PROXY": "other"},
            "[2001:db8::1]:443 goes direct: entry 1 of NO_PROXY, '[2001:db8::1]:443', exempts it",
            id="a dialect",
        ),
    ],
)
def test_what_is_decided(
    explain: Run, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    assert explain(*arguments, **environ) == (f"{said}\n", "")


def test_t17_what_is_not_used_is_warned_of(explain: Run) -> None:
    output, errors = explain(
        TARGET,
        HTTPS_PROXY="http://alice:s3cr3t@proxy.corp:x",
        HTTP_PROXY="http://evil.example",
        REQUEST_METHOD="GET",
        NO_PROXY="192.168.*",
    )
    assert output == (
        "db.example:5432 goes direct: HTTPS_PROXY cannot be read, all_proxy is not set\n"
    )
    lines = errors.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["connect-tunnel:", name] for name in ("HTTP_PROXY", "HTTPS_PROXY:", "NO_PROXY:")
    ]
    assert "s3cr3t" not in output + errors


def test_nowhere_to_warn(explain: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    output, errors = explain(TARGET, NO_PROXY="%")
    assert output.count("\n") == 1
    assert errors == ""


def test_an_impossible_target(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.environ", {"NO_PROXY": "%"})
    assert main(["explain", "https://alice:s3cr3t@db.example"]) == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith("connect-tunnel: target '...' is a URL")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], [TARGET, TARGET], [TARGET, "--dialect", "wget"]])
def test_wrong_usage(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["explain", *arguments])
    assert exit_.value.code == 2
    assert "usage: connect-tunnel" in capfd.readouterr().err


def test_as_a_program() -> None:
    environ = {**os.environ, "https_proxy": "proxy.corp:3128", "no_proxy": ""}
    command = [sys.executable, "-m", "connect_tunnel", "explain", TARGET]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (
        b"db.example:5432 goes through http://proxy.corp:3128: https_proxy names the proxy\n"
    )


def test_all_dialects_are_offered() -> None:
    assert get_args(DialectName) == _DIALECTS


def test_a_relay_does_not_wait_for_it() -> None:
    code = (
        "import sys, connect_tunnel.cli;print('connect_tunnel.routing._environment' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"False\n"
