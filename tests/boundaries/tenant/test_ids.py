"""Span ids that tell a tenant's shard and never meet, and trace ids that samplers can rely on."""

from __future__ import annotations

import importlib.metadata
import math
import os
import random
import subprocess
import sys
import threading
from array import array
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk._configuration import _import_id_generator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import SpanKind

from everylayer import TenantIdGenerator, use_tenant
from everylayer import settings as rules
from everylayer.boundaries import shards

TENANTS = [f"tenant-{number}" for number in range(50)]


@settings(max_examples=50, deadline=None)
@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,60}", fullmatch=True),
    bits=st.integers(1, 16),
)
def test_the_shard_is_read_back(name: str, bits: int) -> None:
    generator = TenantIdGenerator(1 << bits, {})
    shard = generator.shard_of(name)
    assert 0 < shard < 1 << bits or bits == 0
    with use_tenant(name):
        found = [generator.generate_span_id() for _ in range(20)]
    assert {shards.shard_of(span_id, 1 << bits) for span_id in found} == {shard}
    assert all(0 < span_id < 1 << 64 for span_id in found)
    assert len(set(found)) == 20


def test_shard_0_is_that_of_nobody_and_no_id_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = TenantIdGenerator(16, {})
    assert {shards.shard_of(generator.generate_span_id(), 16) for _ in range(100)} == {0}
    steps = iter([1 << 60, 78])
    monkeypatch.setattr(generator, "_next", steps.__next__)
    assert generator.generate_span_id() == 78


@pytest.mark.parametrize("bits", range(1, 17))
def test_the_sequence_comes_by_every_value(bits: int) -> None:
    """An odd step and a power of two have no common divisor."""
    generator = TenantIdGenerator(1 << bits, {})
    first, second = generator.generate_span_id(), generator.generate_span_id()
    assert (second - first) % 2 == 1


def test_a_shard_is_the_same_in_every_process_and_version() -> None:
    """Ids that are stored must be read by what comes later: these never change."""
    known = {name: shards.hashed(name, 4096) for name in ("acme", "globex", "nder", "a" * 128)}
    assert known == {"acme": 3015, "globex": 932, "nder": 629, "a" * 128: 2903}


def test_tenants_are_spread_evenly() -> None:
    found = Counter(shards.hashed(f"customer-{number}", 64) for number in range(63_000))
    assert set(found) == set(range(1, 64))
    chi_square = sum((count - 1000) ** 2 / 1000 for count in found.values())
    assert chi_square < 62 + 6 * math.sqrt(2 * 62)


def test_a_shard_may_be_given() -> None:
    generator = TenantIdGenerator(256, {"acme": 7, "globex": None})
    with use_tenant("acme"):
        assert f"{generator.generate_span_id():016x}".startswith("07")
    assert generator.shard_of("globex") == shards.hashed("globex", 256)
    with pytest.raises(ValueError, match="the shard of acme is 300, and there are 256"):
        TenantIdGenerator(256, {"acme": 300})
    with pytest.raises(ValueError, match="the shard of acme is 0"):
        TenantIdGenerator(256, {"acme": 0})
    with pytest.raises(ValueError, match="'a b' cannot be a tenant"):
        TenantIdGenerator(256, {"a b": 1})


@pytest.mark.parametrize("wrong", [0, 1, 3, 1000, 131072])
def test_only_a_power_of_two_divides_ids(wrong: int) -> None:
    with pytest.raises(ValueError, match="a power of two"):
        TenantIdGenerator(wrong)


def test_many_tenants_are_not_kept() -> None:
    """Names come from outside."""
    generator = TenantIdGenerator(4096, {})
    for number in range(40_000):
        with use_tenant(f"t{number}"):
            span_id = generator.generate_span_id()
        assert shards.shard_of(span_id, 4096) == shards.hashed(f"t{number}", 4096)
    assert len(generator._prefixes) < 20_000


def take(generator: TenantIdGenerator, count: int) -> array[int]:
    found = array("Q")
    for name in TENANTS:
        with use_tenant(name):
            each = generator.generate_span_id
            found.extend([each() for _ in range(count // len(TENANTS))])
    return found


def test_threads_do_not_meet() -> None:
    generator = TenantIdGenerator(64)
    ready = threading.Barrier(4)

    def work(_: int) -> array[int]:
        ready.wait(10)
        return take(generator, 50_000)

    with ThreadPoolExecutor(4) as pool:
        found = [span_id for part in pool.map(work, range(4)) for span_id in part]
    assert len(set(found)) == len(found) == 200_000


IN_ANOTHER = """
import sys
from array import array
from everylayer import TenantIdGenerator, use_tenant
generator, found = TenantIdGenerator(64), array("Q")
for number in range(50):
    with use_tenant(f"tenant-{number}"):
        found.extend([generator.generate_span_id() for _ in range(2_000)])
found.append(generator.generate_trace_id() >> 64)
sys.stdout.buffer.write(found.tobytes())
"""


def forked(make: Callable[[], bytes]) -> bytes:
    """Return what a forked child makes."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as stream:
                stream.write(make())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        found = stream.read()
    assert os.waitpid(child, 0)[1] == 0
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_do_not_meet() -> None:
    """Two that are forked, one by the other too, two that are started, and this one."""
    generator = TenantIdGenerator(64)
    take(generator, 1000)

    def make() -> bytes:
        return (
            take(generator, 100_000) + array("Q", [generator.generate_trace_id() >> 64])
        ).tobytes()

    started = [
        subprocess.Popen([sys.executable, "-c", IN_ANOTHER], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    parts = [forked(make), forked(lambda: forked(make)), make()]
    parts += [process.communicate(timeout=60)[0] for process in started]
    found = array("Q")
    for part in parts:
        found.frombytes(part)
    assert len(set(found)) == len(found) == 5 * 100_001


def test_trace_ids_pass_for_random() -> None:
    """For each byte a chi-square within 6 deviations; a hundred thousand ids."""
    generator = TenantIdGenerator(64)
    count = 100_000
    with use_tenant("acme"):
        ids = [generator.generate_trace_id() for _ in range(count)]
    assert len(set(ids)) == count
    data = b"".join(trace_id.to_bytes(16, "big") for trace_id in ids)
    for place in range(16):
        seen = Counter(data[place::16])
        expected = count / 256
        chi_square = sum((seen[value] - expected) ** 2 / expected for value in range(256))
        assert abs(chi_square - 255) < 6 * math.sqrt(2 * 255), place


@pytest.mark.parametrize("rate", [1 / 4, 1 / 100])
def test_sampling_is_as_even_as_ever(rate: float) -> None:
    """Of all tenants the same share, within 5 deviations of a binomial distribution."""
    generator = TenantIdGenerator(64)
    provider = TracerProvider(sampler=TraceIdRatioBased(rate), id_generator=generator)
    tracer = provider.get_tracer("app")
    count = 8_000
    for name in ("acme", "globex", None):
        with use_tenant(name):
            sampled = sum(
                tracer.start_span("GET /", kind=SpanKind.SERVER).is_recording()
                for _ in range(count)
            )
        assert abs(sampled - count * rate) < 5 * math.sqrt(count * rate * (1 - rate)), name


def test_the_random_flag_is_told() -> None:
    generator = TenantIdGenerator()
    assert generator.is_trace_id_random()
    span = TracerProvider(id_generator=generator).get_tracer("app").start_span("GET /")
    plain = TracerProvider().get_tracer("app").start_span("GET /")
    # 3 where the SDK knows Level 2 of the Recommendation, 1 before.
    assert span.get_span_context().trace_flags == plain.get_span_context().trace_flags


def test_an_app_that_seeds_chance_does_not_get_its_ids_again() -> None:
    found = set()
    for _ in range(2):
        random.seed(1)
        generator = TenantIdGenerator()
        found |= {generator.generate_trace_id(), generator.generate_span_id()}
    assert len(found) == 4


def test_settings_are_its_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tenants.json"
    path.write_text('{"acme": 3}')
    monkeypatch.setenv("EVERYLAYER_TENANT_SHARDS", "16")
    monkeypatch.setenv("EVERYLAYER_TENANT_MAP", str(path))
    generator = TenantIdGenerator()
    assert (generator.shards, generator.shard_of("acme")) == (16, 3)
    path.write_text('{"acme": 16}')
    rules.reset()
    # Under `opentelemetry-instrument` raising would cost the app all of its telemetry.
    assert TenantIdGenerator().shards == 4096
    assert "the shard of acme is 16, and there are 16" in caplog.text


@pytest.mark.skipif(
    not importlib.metadata.entry_points(group="opentelemetry_id_generator", name="everylayer"),
    reason="installed before there was the entry point",
)
def test_a_variable_names_it() -> None:
    # What the SDK does with OTEL_PYTHON_ID_GENERATOR.
    made = _import_id_generator("everylayer")
    assert isinstance(made, TenantIdGenerator)
    assert made.shards == 4096
