"""What parent and child tell one another: a job goes in, lines come back, all of it JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from .model import Arm, ChainNode, Fault, Interface, Request


class TargetError(Exception):
    """Why an app cannot be looked at, in one sentence.

    Attributes:
        details: the traceback, "" for none.
    """

    def __init__(self, text: str, details: str = "") -> None:
        super().__init__(text)
        self.details = details


@dataclass(frozen=True)
class Job:
    """What a child has to do.

    Attributes:
        kind: `chain` reads the chain and sends nothing; `path` sends `request` once, to see what
            it passes; `trials` tries each of `faults`.
        target: as it was typed.
        factory: what `target` names is called for the app.
    """

    kind: Literal["chain", "path", "trials"]
    target: str
    arm: Arm = "bare"
    factory: bool = False
    request: Request = field(default_factory=Request)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Chained:
    """The chain of a target, as read in one arm.

    Attributes:
        stock: "" if stock instrumentation is on, else why it is not.
        versions: of Python and each package that matters, by name.
        passed: ids of the nodes that the request of a job `path` has passed.
        status: that it was answered with; None for no answer, and where nothing was sent.
        code: the same of an RPC, by its name; "" over HTTP.
        request: what is sent, where the framework completes what was asked for.
    """

    framework: str
    interface: Interface
    nodes: tuple[ChainNode, ...]
    stock: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] = ()
    status: int | None = None
    code: str = ""
    request: Request | None = None


def dump(value: Any) -> str:
    """Return a dataclass of an audit as one line of JSON."""
    return json.dumps(dataclasses.asdict(value), default=str)
