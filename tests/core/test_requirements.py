"""`tests/REQUIREMENTS.md` says the truth: every row has the tests that it names."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ID = re.compile(r"\b(?:(?:H1|H2|NM|TL|LL|EN|AU)-[0-9]{2}|T[1-9][0-9]?)\b")
NAME = re.compile(r"def test_((?:h1|h2|nm|tl|ll|en|au)_[0-9]{2}|t[1-9][0-9]?)_")
ROW = re.compile(
    r"\| (?P<id>[A-Z0-9]+(?:-[0-9]{2})?) \| (?P<source>[^|]*) \| (?P<what>[^|]+) "
    r"\| (?P<where>[^|]*) \|"
)

TABLE = (TESTS / "REQUIREMENTS.md").read_text(encoding="utf-8")
ROWS = [found for line in TABLE.splitlines() if (found := ROW.fullmatch(line))]


AREAS = {"H1": 46, "H2": 19, "NM": 11, "TL": 11, "LL": 10, "EN": 15, "AU": 24}


@cache
def named_in(module: Path) -> frozenset[str]:
    # Not in here, where names stand for rows and not for tests.
    text = "" if module == Path(__file__) else module.read_text(encoding="utf-8")
    return frozenset([*ID.findall(text), *(_id_of(name) for name in NAME.findall(text))])


def _id_of(name: str) -> str:
    return name.upper().replace("_", "-")


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_each_requirement_is_named_where_the_table_says(row: re.Match[str]) -> None:
    silent = [m for m in row["where"].split(", ") if row["id"] not in named_in(TESTS / m)]
    assert silent == []
    assert row["what"].strip()
    assert row["source"] == "-" or re.match(r"[0-9]{4}\b", row["source"])


def test_no_test_names_what_is_not_in_the_table() -> None:
    named = {name for module in TESTS.rglob("test_*.py") for name in named_in(module)}
    assert named <= {row["id"] for row in ROWS}


def test_the_table_is_complete() -> None:
    ids = [row["id"] for row in ROWS]
    assert len(ids) == len(set(ids))
    for area, count in AREAS.items():
        expected = [f"{area}-{number:02}" for number in range(1, count + 1)]
        assert [name for name in ids if name.startswith(area)] == expected
    faults = [name for name in ids if re.fullmatch(r"T[0-9]+", name)]
    assert faults == [f"T{number}" for number in range(1, 24)]
    assert len(re.findall(r"(?m)^\| [A-Z]", TABLE)) == len(ids)  # no row goes unread
