"""The demo: what `everylayer demo` says of its own small apps."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from everylayer.audit.demo_command import examples
from everylayer.cli import cli


@pytest.fixture(autouse=True)
def _children_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage would take most of the time of the many children."""
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
        monkeypatch.delenv(name, raising=False)


def test_everylayer_loses_nothing_of_any_framework_that_is_there() -> None:
    frameworks = [example.framework for example in examples()]
    assert frameworks == ["aiohttp", "django", "flask", "grpc", "litestar", "starlette"]
    ended = CliRunner().invoke(cli, ["demo"])
    assert ended.exit_code == 0, ended.output
    for framework in frameworks:
        asked = "POST /shop.Orders/Order" if framework == "grpc" else "GET /orders/7"
        assert f"{framework}_shop.py:app ({framework}), {asked}" in ended.output
    lost = re.findall(r"stock lost (\d+) of (\d+), everylayer lost (\d+) of (\d+)", ended.output)
    assert len(lost) == len(frameworks)
    for stock, tried, ours, put in lost:
        assert int(stock) > int(tried) / 2
        assert int(ours) == 0
        assert int(put) > 30
