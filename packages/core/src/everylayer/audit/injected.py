"""The exceptions that an audit brings into an app."""

from __future__ import annotations

from typing import Any, ClassVar

from .model import Fault


class InjectedFault(Exception):
    """The fault of a trial."""


class Translated(Exception):
    """What the layer of the shape `translated` raises from a fault.

    Attributes:
        made: how many there have been in this process.
    """

    made: ClassVar[int] = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        Translated.made += 1


def message_of(fault: Fault) -> str:
    """Return the whole message of the exception that `fault` puts."""
    return f"injected by the audit: {fault.token}"
