"""Every check that this project knows, each one command: `nox -s tests`, `lint`, `types`, ...

`nox -s tests` passes on a machine with nothing but Python: an interpreter that is missing is
skipped, and so is a test whose proxy or server is not installed, with its reason. Under
CONNECT_TUNNEL_REQUIRE_REAL=1, which `.ci/run` sets, such a test fails instead.
"""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False  # which CI=true would turn on
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types", "coverage"]

PACKAGE = Path("connect_tunnel")
PYPROJECT = nox.project.load_toml("pyproject.toml")
CURRENT = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = sorted({"3.11", "3.12", "3.13", CURRENT})

# Most of a loopback test is waiting. A module's tests stay together: they share what it starts.
AT_ONCE = ["-n", "4", "--dist", "loadfile"]

# What the tests of CURRENT reach, for the session that reports it.
EVERYTHING = "--data-file=.nox/everything.coverage"

# Facts, steps, protocols, auth and the opening program: what tests/core/test_<name>.py alone
# covers, by its name.
ON_THEIR_OWN = {
    "auth": ["auth/_auth.py", "auth/_basic.py", "auth/_bearer.py", "auth/_password.py"],
    "challenge": ["_challenge.py", "auth/_challenges.py"],
    "decision": ["routing/_decision.py", "routing/_router.py"],
    "digest": ["auth/_digest.py", "auth/_nonce.py"],
    "environment": ["routing/_environment.py", "routing/_system.py", "routing/_variables.py"],
    "errors": ["_errors.py"],
    "exchange": ["auth/_exchange.py"],
    "explain": ["_explain.py"],
    "failover": ["routing/_failover.py"],
    "fields": ["_fields.py"],
    "frozen": ["_frozen.py"],
    "h1": ["protocols/h1.py"],
    "h1_body": ["protocols/h1_body.py"],
    "h2": ["protocols/h2.py"],
    "h2_connection": ["protocols/h2_connection.py", "protocols/h2_limits.py"],
    "h2_fields": ["protocols/h2_fields.py"],
    "h2_reader": ["protocols/h2_frames.py", "protocols/h2_reader.py"],
    "h2_stream": ["protocols/h2_stream.py"],
    "headers": ["_headers.py"],
    "health": ["routing/_health.py"],
    "http2": ["_http2.py"],
    "login": ["_login.py"],
    "negotiate": ["auth/_binding.py", "auth/_negotiate.py"],
    "no_proxy": ["routing/_no_proxy.py"],
    "open": ["_open.py"],
    "pac": ["routing/_pac.py"],
    "pac_answer": ["routing/_pac_answer.py"],
    "pac_engine": ["routing/_script/engine.py"],
    "pac_names": ["routing/_script/names.py"],
    "pac_script": ["routing/_script/script.py"],
    "pac_source": ["routing/_script/source.py"],
    "prompt": ["auth/_prompt.py"],
    "proxy": ["_proxy.py", "auth/_socks.py"],
    "proxy_protocol": ["protocols/proxy_protocol.py"],
    "proxy_url": ["_proxy_url.py"],
    "response": ["_response.py"],
    "route": ["_route.py"],
    "scheme": ["auth/_scheme.py"],
    "secret": ["_secret.py"],
    "socks": ["protocols/socks.py", "protocols/socks_words.py"],
    "steps": ["_steps.py"],
    "target": ["_target.py"],
    "timeout": ["_timeout.py"],
    "via": ["_via.py"],
    "walk": ["_ask.py", "_walk.py"],
}


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests: core and loopback on every Python, the real ring on the one that runs nox."""
    install(session, "test")
    if session.python == CURRENT and shutil.which("krb5-config"):
        # Built from source, against libkrb5: what the real ring logs in with by Kerberos.
        session.install("gssapi", "krb5")
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    if session.python != CURRENT:
        session.run("pytest", "-m", "not real", *AT_ONCE)
        return
    session.run("coverage", "erase", EVERYTHING)  # left by a run that was broken off
    session.run("coverage", "run", EVERYTHING, "-m", "pytest", "-m", "not real", *AT_ONCE)
    session.run("coverage", "combine", "-q", EVERYTHING)
    session.run("pytest", "-m", "real", *AT_ONCE)


@nox.session(python=CURRENT)
def coverage(session: nox.Session) -> None:
    """Branch coverage of 100 %: by the session `tests`, run before, and by modules of their own."""
    install(session, "test")
    report(session, EVERYTHING, [PACKAGE])
    session.run("coverage", "erase", EVERYTHING)  # another report needs another run

    def measure_alone(name: str, modules: list[str]) -> None:
        data = f"--data-file={session.create_tmp()}/{name}.coverage"
        session.run("coverage", "run", data, "-m", "pytest", "-q", f"tests/core/test_{name}.py")
        session.run("coverage", "combine", "-q", data)
        report(session, data, [PACKAGE / module for module in modules])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(measure_alone, *own) for own in ON_THEIR_OWN.items()]:
            done.result()


@nox.session(python=CURRENT)
def lint(session: nox.Session) -> None:
    """Ruff, as a linter and as a formatter."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=CURRENT)
def types(session: nox.Session) -> None:
    """Mypy and pyright, both strict, on package and tests; and the completeness of public types."""
    install(session, "types")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "connect_tunnel", "--ignoreexternal")


@nox.session(python=CURRENT)
def bench(session: nox.Session) -> None:
    """What a tunnel costs, as a ratio to a bare socket and beside the peers."""
    install(session, "bench")
    session.run("python", "benchmarks/run.py", *session.posargs)


def install(session: nox.Session, group: str) -> None:
    """This package and one of its dependency groups."""
    session.install("-e", ".[cli,status]", *nox.project.dependency_groups(PYPROJECT, group))


def report(session: nox.Session, data: str, modules: list[Path]) -> None:
    """Show what `data` says of `modules`, and fail unless it is every line and branch."""
    include = ",".join(f"{path}/*" if path.is_dir() else str(path) for path in modules)
    session.run("coverage", "report", data, f"--include={include}", "--fail-under=100")
