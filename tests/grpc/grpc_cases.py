"""The table: each kind of RPC, and each place where one can fail.

A method's name says both, `/corpus.S/<shape>-<place>`: servicer and interceptors act by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import grpc

from contract.expect import ESCAPED, HANDLED, NOTHING, Expected
from contract.faults import PLAIN, Fault


class Shape(NamedTuple):
    """A kind of RPC."""

    name: str
    takes_stream: bool
    gives_stream: bool


SHAPES = (
    Shape("unary_unary", False, False),
    Shape("unary_stream", False, True),
    Shape("stream_unary", True, False),
    Shape("stream_stream", True, True),
)
BY_NAME = {shape.name: shape for shape in SHAPES}


@dataclass(frozen=True)
class Place:
    """Where an RPC fails, and what must come of it.

    Attributes:
        expected: of the trace.
        code: what the server answered, as its span must say.
        said: message of an abort, which is the one error that has no fault of the table.
        refused: another layer then refuses the client by an abort.
        needs: `takes_stream` or `gives_stream`, if only some kinds of RPC can fail so.
    """

    name: str
    expected: Expected
    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN
    said: str = ""
    refused: bool = False
    needs: str = ""
    fault: Fault = PLAIN

    def fits(self, shape: Shape) -> bool:
        return not self.needs or bool(getattr(shape, self.needs))


# What an interceptor makes an answer of, and what it raises itself.
CODES = {
    "converted": grpc.StatusCode.INTERNAL,
    "converted_client": grpc.StatusCode.INVALID_ARGUMENT,
}
CONVERTED = frozenset({*CODES, "converted_abort", "swallowed"})
RAISED = frozenset({"before", "after", "requests", "refused"})
TIMEOUT = 0.08  # Seconds, of an RPC whose deadline passes.

_RAISER = "Raiser"
_SERVICER = "servicer"


def _by(layer: str, expected: Expected = ESCAPED) -> Expected:
    kind = "view" if layer == _SERVICER else "middleware"
    return Expected(status=expected.status, handled=expected.handled, layer=layer, kind=kind)


PLACES = (
    Place("ok", NOTHING, grpc.StatusCode.OK),
    Place("intercept", _by(_RAISER)),
    Place(
        "intercept_answered", _by(_RAISER, HANDLED), grpc.StatusCode.PERMISSION_DENIED, refused=True
    ),
    Place("before", _by(_RAISER)),
    Place("after", _by(_RAISER)),
    Place("servicer", _by(_SERVICER)),
    Place("converted", _by(_SERVICER), grpc.StatusCode.INTERNAL),
    Place("converted_client", _by(_SERVICER, HANDLED), grpc.StatusCode.INVALID_ARGUMENT),
    Place("converted_abort", _by(_SERVICER), grpc.StatusCode.UNAVAILABLE),
    Place("swallowed", _by(_SERVICER, HANDLED), grpc.StatusCode.OK),
    Place("requests", _by(_RAISER), needs="takes_stream"),
    Place("responses", _by(_SERVICER), needs="gives_stream"),
    Place("abort", _by(_SERVICER), grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE: no way"),
    Place(
        "refused", _by(_RAISER, HANDLED), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED: no way"
    ),
    Place("not_found", _by(_SERVICER, HANDLED), grpc.StatusCode.NOT_FOUND, "NOT_FOUND: no way"),
    Place("coded", _by(_SERVICER, HANDLED), grpc.StatusCode.NOT_FOUND),
    Place("cancel", NOTHING, grpc.StatusCode.CANCELLED),
    Place("deadline", Expected(event=False, status="ERROR"), grpc.StatusCode.DEADLINE_EXCEEDED),
)
BY_PLACE = {place.name: place for place in PLACES}

CASES = [(shape, place) for shape in SHAPES for place in PLACES if place.fits(shape)]


def method_of(shape: Shape, place: Place) -> str:
    return f"/corpus.S/{shape.name}-{place.name}"


def place_in(method: str) -> str:
    return method.rpartition("-")[2]


class Outcome(NamedTuple):
    """What a client sees of an RPC."""

    code: grpc.StatusCode | None
    details: str | None
    trailing: tuple[tuple[str, str | bytes], ...]
    messages: tuple[bytes, ...]
