"""Data from outside, as bad as it gets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import everylayer
from contract.drive import environ, scope
from contract.telemetry import session
from fuzz_checks import (
    asgi_request_is_served,
    settings_are_read_or_refused,
    stack_is_bounded,
    text_is_bounded,
    wsgi_request_is_served,
)
from shapes import errors

PROFILE = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
NAMES = [f"EVERYLAYER_{name.upper()}" for name in vars(everylayer.Settings())]
VARIABLES = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(NAMES).map(str.lower),
    st.just("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"),
    TEXT.map("EVERYLAYER_{}".format),
    TEXT,
)
VALUES = st.one_of(
    TEXT,
    st.integers().map(str),
    st.sampled_from(["true", "off", "all", "tempo", "logs", "logs/dup", " , ,", "9" * 5000, "١٢٣"]),
)

HEADER = st.tuples(
    st.one_of(
        st.sampled_from([b"host", b"traceparent", b"tracestate", b"baggage", b"user-agent"]),
        st.binary(max_size=20),
    ),
    st.one_of(
        st.binary(max_size=80),
        st.just(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ),
)
ODD = st.one_of(st.none(), st.integers(), st.binary(max_size=8), TEXT, st.lists(TEXT, max_size=2))
SCOPE_CHANGES = st.fixed_dictionaries(
    {"headers": st.lists(HEADER, max_size=6), "query_string": st.binary(max_size=40)},
    optional={
        "path": TEXT,
        "raw_path": st.binary(max_size=30),
        "method": TEXT,
        "root_path": TEXT,
        "scheme": TEXT,
        "http_version": TEXT,
        "server": st.one_of(ODD, st.tuples(TEXT, st.one_of(st.none(), st.integers()))),
        "client": st.one_of(ODD, st.tuples(TEXT, st.integers())),
    },
)
ENVIRON_KEYS = [*environ(), "HTTP_HOST", "HTTP_TRACEPARENT", "HTTP_USER_AGENT", "REMOTE_PORT"]


@pytest.fixture(scope="module", autouse=True)
def _session() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("EVERYLAYER_", "OTEL_")):
                patch.delenv(name)
        everylayer.settings.reset()
        with session():
            yield
    everylayer.settings.reset()


@PROFILE
@given(st.dictionaries(VARIABLES, VALUES, max_size=5))
def test_settings(variables: dict[str, str]) -> None:
    settings_are_read_or_refused(variables)


@PROFILE
@example({"path": "\ud800"}, set(), True)
@given(SCOPE_CHANGES, st.sets(st.sampled_from(sorted(set(scope()) - {"type"}))), st.booleans())
def test_asgi_scope(changes: dict[str, Any], missing: set[str], fails: bool) -> None:
    request = {**scope(), **changes}
    kept = {key: value for key, value in request.items() if key not in missing}
    asgi_request_is_served(kept, fails=fails)


@PROFILE
@example({"PATH_INFO": "\ud800"}, set(), True)
@given(
    st.dictionaries(
        st.one_of(st.sampled_from(ENVIRON_KEYS), TEXT.map("HTTP_{}".format)), TEXT, max_size=8
    ),
    st.sets(st.sampled_from(ENVIRON_KEYS)),
    st.booleans(),
)
def test_wsgi_environ(changes: dict[str, str], missing: set[str], fails: bool) -> None:
    request = {**environ(), **changes}
    kept = {key: value for key, value in request.items() if key not in missing}
    wsgi_request_is_served(kept, fails=fails)


@PROFILE
@given(st.builds(lambda part, times: part * times, TEXT, st.integers(0, 60)), st.integers(1, 300))
def test_text(raw: str, limit: int) -> None:
    text_is_bounded(raw, limit)


@PROFILE
@given(errors(), st.integers(0, 700))
def test_stack(exc: BaseException, budget: int) -> None:
    stack_is_bounded(exc, budget)
