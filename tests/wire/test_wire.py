"""What real exporters put on the wire in a storm of errors: nothing lost, nothing too large."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from everylayer.presets import PRESETS, Preset
from everylayer.settings import Settings, resolve
from wire_receiver import LIMIT, Receiver
from wire_storm import KINDS, Storm, request

DOCUMENT = Path(__file__).parents[2] / "docs" / "backends.md"
# Of what is exported at once: that of the SDK's BatchSpanProcessor.
BATCH = 512
# Without groups there is no stack of 16 kB.
GROUPS = sys.version_info >= (3, 11)
# Whole seconds of a slow machine must not part a batch.
NEVER_MS = 10**8


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture(autouse=True)
def _empty(receiver: Receiver) -> None:
    receiver.sizes.clear()
    receiver.spans.clear()


def exporter_to(receiver: Receiver, protocol: str) -> SpanExporter:
    if protocol == "grpc":
        over_grpc = pytest.importorskip(
            "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
            reason="the exporter asks for a newer gRPC than everylayer does",
        )
        exporter: SpanExporter = over_grpc.OTLPSpanExporter(
            endpoint=receiver.endpoint("grpc"), insecure=True
        )
        return exporter
    return HttpExporter(endpoint=receiver.endpoint("http"))


def storm(
    receiver: Receiver, protocol: str, requests: int, errors: int, *kinds: str, **overrides: Any
) -> list[Span]:
    """Let requests fail by errors of `kinds`, all by default, and return the spans that arrive."""
    provider = TracerProvider()
    exporter = exporter_to(receiver, protocol)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=NEVER_MS))
    made = Storm(*kinds)
    for number in range(requests):
        request(provider, made.errors(number, errors), **overrides)
    provider.shutdown()
    return receiver.spans


def values(event: Span.Event) -> dict[str, Any]:
    return {
        pair.key: [item.string_value for item in pair.value.array_value.values]
        or pair.value.string_value
        for pair in event.attributes
    }


def size(value: object) -> int:
    return len(str(value).encode())


@pytest.mark.parametrize(("protocol", "errors"), [("http", 1), ("grpc", 8)])
def test_a_storm_loses_no_span_no_event_and_no_batch(
    receiver: Receiver, protocol: str, errors: int, record_property: Any
) -> None:
    spans = storm(receiver, protocol, BATCH, errors, redaction="off")
    assert len(receiver.sizes) == 1, "all at once, as a storm goes out"
    assert max(receiver.sizes) < LIMIT
    record_property("measured", f"{protocol}, {errors} an error span: {max(receiver.sizes)} bytes")
    assert len({span.span_id for span in spans}) == BATCH
    for number, span in enumerate(sorted(spans, key=lambda span: span.start_time_unix_nano)):
        assert len(span.events) == errors
        for turn, event in enumerate(span.events):
            said = values(event)
            assert said["exception.type"] == "wire_storm.StormError"
            assert said["exception.message"].startswith(f"{number}.{turn}: ")
            assert said["exception.stacktrace"]
        assert span.status.message


def test_without_the_budget_the_same_storm_is_refused_whole(receiver: Receiver) -> None:
    spans = storm(
        receiver, "http", BATCH, 1, redaction="off", max_span_bytes=2**20, max_batch_bytes=2**30
    )
    assert not spans
    assert min(receiver.sizes) > LIMIT


@pytest.mark.skipif(not GROUPS, reason="no group, so no stack that is as long")
def test_a_lone_failure_and_the_first_of_a_storm_keep_their_whole_stack(receiver: Receiver) -> None:
    storm(receiver, "http", 40, 1, "grouped", redaction="off")
    whole = [size(values(span.events[0])["exception.stacktrace"]) for span in receiver.spans]
    assert min(whole) > 16_384 - 100


@pytest.mark.parametrize("preset", get_args(Preset))
def test_budgets_are_kept_byte_for_byte(receiver: Receiver, preset: str) -> None:
    rules = resolve({"preset": preset})
    storm(receiver, "http", len(KINDS), 1, preset=preset)
    longest = {"exception.message": 0, "exception.stacktrace": 0}
    for span in receiver.spans:
        assert len(span.status.message) <= rules.max_description_chars
        said = values(span.events[0])
        longest = {name: max(most, size(said[name])) for name, most in longest.items()}
    # Cut no further than to the next whole character, and the mark's own room.
    for name, budget in (
        ("exception.message", rules.max_message_bytes),
        ("exception.stacktrace", rules.max_stack_bytes),
    ):
        room = budget if preset != "datadog" else min(budget, rules.max_span_bytes)
        assert longest[name] <= room
        assert longest[name] >= room - 64 or (not GROUPS and name == "exception.stacktrace")


@pytest.mark.parametrize("preset", get_args(Preset))
def test_the_events_of_a_span_share_its_budget(receiver: Receiver, preset: str) -> None:
    rules = resolve({"preset": preset})
    (span,) = storm(receiver, "http", 1, 8, preset=preset, redaction="off")
    assert len(span.events) == 8
    assert sum(event.ByteSize() for event in span.events) <= rules.max_span_bytes
    if preset == "tempo":
        assert max(size(value) for event in span.events for value in values(event).values()) <= 2048
    if preset == "datadog":
        # As its agent writes them, into one value.
        as_json = json.dumps([values(event) for event in span.events], ensure_ascii=False)
        assert size(as_json) <= 25_000


def test_the_document_lists_the_budgets_of_each_preset() -> None:
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    named = {row[0]: row[1:5] for row in rows if row[0] in PRESETS}
    assert set(named) == set(PRESETS) == set(get_args(Preset))
    for preset, cells in named.items():
        made: Settings = resolve({"preset": preset})
        budgets = (
            made.max_message_bytes,
            made.max_stack_bytes,
            made.max_span_bytes,
            made.max_batch_bytes,
        )
        assert [int(cell.replace(",", "")) for cell in cells] == list(budgets), preset
