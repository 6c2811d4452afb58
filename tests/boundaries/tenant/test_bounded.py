"""Values in metrics: as many as agreed, and one word in the log for the rest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import everylayer
from everylayer import BoundedValues, use_tenant


def test_the_rest_is_folded_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    values = BoundedValues(3, name="routes")
    found = [values(f"v{number % 7}") for number in range(21)]
    assert found == ["v0", "v1", "v2", *["other"] * 4] * 3
    assert len(values) == 3
    (line,) = caplog.messages
    assert line == "everylayer has met 3 different routes; metrics count all others as 'other'"


def test_what_is_known_has_its_place(caplog: pytest.LogCaptureFixture) -> None:
    values = BoundedValues(2, ["acme", "globex", "late"], other="_OTHER")
    assert [values(name) for name in ("x", "acme", "late", "globex")] == [
        *("_OTHER", "acme", "_OTHER", "globex")
    ]


def test_threads_share_the_limit() -> None:
    values = BoundedValues(10)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(values, [f"v{number % 50}" for number in range(4000)]))
    assert len(found) == 11


def test_tenants_of_metrics_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tenants.json"
    path.write_text('["acme"]')
    everylayer.configure(max_tenants=2, tenant_map=str(path))
    assert everylayer.tenant_label() is None
    found = []
    for name in ("hostile-1", "hostile-2", "hostile-3", "acme"):
        with use_tenant(name):
            found.append(everylayer.tenant_label())
    assert found == ["hostile-1", "other", "other", "acme"]
    assert len(caplog.messages) == 1


def test_a_map_that_cannot_be_read_costs_no_request(
    tmp_path: Path, failures: dict[str, int]
) -> None:
    everylayer.configure(tenant_map=str(tmp_path / "none.json"))
    with use_tenant("acme"):
        assert everylayer.tenant_label() == "acme"
    assert list(failures.values()) == [1]
