"""A tree without anything pickled, as a result back end keeps it: read, but not trusted."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

import away_work
from everylayer.boundaries.plain import PlainError, relink, to_plain
from everylayer.boundaries.tree import carry

pytest.importorskip("tblib")


def stored() -> list[dict[str, Any]]:
    try:
        away_work.chain()
    except away_work.Needs as exc:
        found: list[dict[str, Any]] = json.loads(json.dumps(to_plain(carry(exc, max_bytes=0))))
        return found
    raise AssertionError


def test_the_chain_comes_back_with_names_messages_and_tracebacks() -> None:
    exc = RuntimeError("as the store itself made it")
    relink(exc, stored())
    cause = exc.__cause__
    assert isinstance(cause, ValueError)
    assert str(cause) == "context of the cause"
    assert cause.__suppress_context__
    assert isinstance(cause.__context__, KeyError)
    assert cause.__traceback__ is not None
    assert cause.__traceback__.tb_frame.f_code.co_name == "chain"


def test_nothing_is_imported_and_only_exceptions_are_made() -> None:
    found = stored()
    found[1]["classes"] = [["antigravity", "Error"], ["os", "system"], ["builtins", "dict"]]
    exc = RuntimeError("x")
    relink(exc, found)
    assert "antigravity" not in sys.modules
    assert isinstance(exc.__cause__, Exception)
    assert not isinstance(exc.__cause__, dict)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: None,
        lambda found: [],
        lambda found: found * 20,
        lambda found: [found[0], 3],
        lambda found: [found[0], {"message": 3}],
        lambda found: [found[0], {**found[1], "name": "ValueError"}],
        lambda found: [{**found[0], "rows": [["f", "g", -1, "m"]]}],
        lambda found: [{**found[0], "rows": [["f"]]}],
    ],
)
def test_what_is_no_tree_is_refused(change: Any) -> None:
    with pytest.raises(PlainError):
        relink(RuntimeError("x"), change(stored()))


def test_links_to_nowhere_are_none() -> None:
    found = stored()
    found[0]["links"] = [99, "x"]
    exc = RuntimeError("x")
    relink(exc, found)
    assert (exc.__cause__, exc.__context__) == (None, None)
