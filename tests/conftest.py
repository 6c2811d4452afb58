"""What holds for the whole suite."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


def encodable(data: Any) -> Any:
    """Copy plain `data` with lone surrogates written out as escapes."""
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {encodable(key): encodable(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return type(data)(map(encodable, data))
    return data


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Let hostile strings through xdist: one in a captured log would end the whole run."""
    return encodable((yield))
