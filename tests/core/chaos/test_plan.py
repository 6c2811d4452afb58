"""Plans: from code and from files, refused with a sentence that names what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from everylayer.chaos import Chaos, ChaosError, PlanError, Rule
from everylayer.chaos.errors import error_class, make

PLAN = """
seed = "monday"
journal = "chaos.jsonl"

[[rules]]
layer = "*Auth*"
phase = "after"
probability = 0.05
error = "builtins.PermissionError"

[[rules]]
trace_id = "4bf9"
modulus = [100, 7]
status = 503
"""
MEANT = Chaos(
    rules=(
        Rule("*Auth*", "after", 0.05, error="builtins.PermissionError"),
        Rule(trace_id="4bf9", modulus=(100, 7), status=503),
    ),
    seed="monday",
    journal="chaos.jsonl",
)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="reads no TOML")
def test_a_toml_file_is_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "chaos.toml"
    file.write_text(PLAN, encoding="utf-8")
    assert Chaos.load(file) == MEANT


def test_a_json_file_is_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "chaos.json"
    rules: list[Any] = [
        {"layer": "*Auth*", "phase": "after", "probability": 0.05}
        | {"error": "builtins.PermissionError"},
        {"trace_id": "4bf9", "modulus": [100, 7], "status": 503},
    ]
    file.write_text(json.dumps({"rules": rules, "seed": "monday", "journal": "chaos.jsonl"}))
    assert Chaos.load(str(file)) == MEANT


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="reads TOML")
def test_toml_is_refused_where_it_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "chaos.toml").write_text(PLAN)
    with pytest.raises(PlanError, match="write it as JSON"):
        Chaos.load(tmp_path / "chaos.toml")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("layer", ""),
        ("layer", 3),
        ("phase", "during"),
        ("probability", 1.1),
        ("probability", -0.1),
        ("probability", True),
        ("probability", "1"),
        ("trace_id", "4BF9"),
        ("trace_id", "0" * 33),
        ("trace_id", 4),
        ("modulus", (7,)),
        ("modulus", (7, 7)),
        ("modulus", (0, 0)),
        ("modulus", (7, -1)),
        ("modulus", "7"),
        ("status", 200),
        ("error", None),
    ],
)
def test_a_field_that_does_not_fit_is_named(field: str, value: Any) -> None:
    with pytest.raises(PlanError) as found:
        Rule(**{field: value})
    assert str(found.value).startswith(f"{field} is {value!r}; it must be ")


@pytest.mark.parametrize(
    ("dotted", "said"),
    [
        ("shop.no.Such", "cannot be imported"),
        ("builtins.Nothing", "cannot be imported"),
        ("os.path", "no subclass of Exception"),
        ("SystemExit", "no subclass of Exception"),
        ("asyncio.CancelledError", "no subclass of Exception"),
    ],
)
def test_a_class_that_cannot_be_raised_is_refused(dotted: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        Rule(error=dotted)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "cannot be read"),
        ("[]", "no table of fields"),
        ("{}", "rules is ()"),
        ('{"rules": []}', "it must be one Rule at least"),
        ('{"rules": 3}', "a list of rules"),
        ('{"rules": [3]}', "rule 1 is 3"),
        ('{"rules": [{"layr": "x"}]}', "has no field 'layr'; it has layer, phase"),
        ('{"rules": [{}, {"phase": "x"}]}', "Rule 2: phase is 'x'"),
        ('{"rules": [{}], "seed": 1}', "seed is 1"),
        ('{"rules": [{}], "speed": 1}', "the plan has no field 'speed'"),
    ],
)
def test_a_file_that_is_no_plan_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "chaos.json"
    file.write_text(content)
    with pytest.raises(PlanError) as found:
        Chaos.load(file)
    assert said in str(found.value)
    assert str(file) in str(found.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"nowhere\.json' cannot be read"):
        Chaos.load(tmp_path / "nowhere.json")


class Slotted(Exception):
    __slots__ = ()


class HTTPError(Exception):
    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(status_code, detail)


class Picky(Exception):
    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(code, reason)


@pytest.mark.parametrize("cls", [ChaosError, KeyError, UnicodeError, Slotted])
def test_what_is_raised_carries_the_trace_id(cls: type[Exception]) -> None:
    made = make(cls, "of trace 4bf9", "4bf9", None)
    assert type(made) is cls
    assert made.args == ("of trace 4bf9",)
    assert made.trace_id == "4bf9"  # type: ignore[attr-defined]


def test_an_error_of_http_gets_its_status() -> None:
    assert make(HTTPError, "of trace 4bf9", "4bf9", 503).args == (503, "of trace 4bf9")
    assert make(HTTPError, "of trace 4bf9", "4bf9", None).args == (500, "of trace 4bf9")


def test_a_class_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(PlanError, match="can be made from a message alone"):
        make(Picky, "of trace 4bf9", "4bf9", None)
    assert error_class("") is ChaosError
