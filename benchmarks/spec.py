"""What a measuring process is asked to be, and to do."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .arms import Arm

Framework = Literal["django-wsgi", "django-asgi", "flask", "starlette"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
NAMES: dict[Framework, str] = {
    "django-wsgi": "Django (WSGI)",
    "django-asgi": "Django (ASGI)",
    "flask": "Flask",
    "starlette": "Starlette",
}
LAYERS = 8


@dataclass(frozen=True)
class Spec:
    """One measuring process.

    Attributes:
        framework: its web framework.
        arm: its instrumentation.
        layers: how many no-op layers; one app is built for each number.
        logged: the app's and the server's logs are formatted, and written to the null device.
        export_ms: how long the exporter takes for a batch.
        catching: each layer could hold an error back.
    """

    framework: Framework
    arm: Arm
    layers: tuple[int, ...] = (LAYERS,)
    logged: bool = False
    export_ms: float = 0.0
    catching: bool = False

    def to_json(self) -> str:
        """Return it as an argument of a command line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Spec:
        """Return what `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, "layers": tuple(values["layers"])})


@dataclass(frozen=True)
class Batch:
    """Requests that are sent together, one after the other.

    Attributes:
        requests: how many.
        rate: share of those that fail, spread evenly.
        fail: path of a failing request.
        ok: path of one that works.
        layers: which of the apps gets them.
    """

    requests: int
    rate: float = 0.0
    fail: str = "/fail/deep"
    ok: str = "/ok"
    layers: int = LAYERS

    def paths(self) -> list[str]:
        """Return the path of each request."""
        return [
            self.fail if int((n + 1) * self.rate + 1e-9) > int(n * self.rate + 1e-9) else self.ok
            for n in range(self.requests)
        ]


@dataclass(frozen=True)
class Cost:
    """What a batch took: seconds of CPU over all threads, and of the clock."""

    requests: int
    cpu: float
    wall: float
