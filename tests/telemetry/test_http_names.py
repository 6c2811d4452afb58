"""Server spans that everylayer begins have the names of HTTP that OpenTelemetry's variable asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit_apps import FRAMEWORKS

OLD = {"http.method", "http.status_code", "http.scheme"}
STABLE = {"http.request.method", "http.response.status_code", "url.scheme"}


def spans(opt_in: str) -> Any:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_http_names.py"))],
        env={**os.environ, "OTEL_SEMCONV_STABILITY_OPT_IN": opt_in},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("opt_in", "present", "absent"),
    [("http", STABLE, OLD), ("database,http/dup", OLD | STABLE, set())],
)
def test_names_are_those_that_were_opted_into(
    opt_in: str, present: set[str], absent: set[str]
) -> None:
    found = spans(opt_in)
    assert found["failures"] == {}
    assert set(found["spans"]) >= {*FRAMEWORKS, "asgi-seam", "wsgi-seam"}
    for app, kinds in found["spans"].items():
        for kind, attributes in kinds.items():
            assert present <= set(attributes), (app, kind)
            assert not absent & set(attributes), (app, kind)
            status = {value for name, value in attributes.items() if name.endswith("status_code")}
            assert len(status) == 1, (app, kind)
            assert status <= ({200} if kind == "ok" else {500, 503}), (app, kind)
        assert kinds["answered"]["error.type"] == "kit_faults.AppError", app
    # A request that works says all that it would with stock.
    for app, kinds in found["stock"].items():
        assert found["spans"][app]["ok"] == kinds["ok"], app
