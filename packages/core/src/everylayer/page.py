"""What one span's seams saw, until it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import chain, volume
from .layers import Layer
from .sighting import Identity, Sighting
from .sinks import integrity

if TYPE_CHECKING:
    from .boundaries.arrival import Arrival
    from .ledger import Ledger


class Page:
    """What one span's seams saw: bounded, each exception once.

    Attributes:
        seen: the sightings held; they keep exceptions alive until the request is over.
        dropped: errors that found no room.
        events: exception events written.
        failed: an error has already described the span's failure.
        known: type, message and place of the errors written.
        came: what the request says of itself, None while no seam has read it.
        framework: of the request, for metrics.
        torn: what a layer has lost of the trace on the way in.
        traced: metrics have the trace.
        told: how many of `dropped` metrics have.
        account: the bytes that the events take.
    """

    __slots__ = (
        "account", "came", "dropped", "events", "failed", "framework", "known", "seen", "told",
        "torn", "traced",
    )  # fmt: skip

    def __init__(self) -> None:
        self.framework = "none"
        self.torn = ""
        self.traced = False
        self.told = 0
        self.seen: list[Sighting] = []
        self.dropped = 0
        self.events = 0
        self.failed = False
        self.known: set[Identity] = set()
        self.came: Arrival | None = None
        self.account = volume.Account()

    def find(self, exc: BaseException) -> Sighting | None:
        """Return the sighting of this very object, or of the group that it is once more."""
        for sighting in self.seen:
            if sighting.exc is exc:
                return sighting
        if chain.is_group(exc):
            for sighting in self.seen:
                if chain.is_group(sighting.exc) and chain.is_remade(exc, sighting.exc):
                    return sighting
        return None

    def add(self, sighting: Sighting, max_events: int) -> Sighting | None:
        """Keep `sighting`; when full, it replaces its predecessor: the last error counts.

        Returns:
            What it replaced, if anything.
        """
        replaced = None
        if len(self.seen) >= 2 * max_events:
            replaced = self.seen.pop()
            self.dropped += not replaced.written
        self.seen.append(sighting)
        return replaced

    def met(self, ledger: Ledger, layer: Layer | None) -> None:
        """Take from `ledger`, which has seen an error of `layer`, what metrics tell of both."""
        framework = getattr(ledger.layers, "framework", ledger.framework)
        if framework != "none":
            self.framework = framework
        self.torn = self.torn or integrity.torn(ledger.span, layer)

    def excuse(self) -> None:
        """Take what refused the client so far as dealt with: something else has failed since."""
        for sighting in self.seen:
            if sighting.client_status is not None and not sighting.left:
                sighting.handled = True

    def absorb(self, other: Page) -> None:
        """Take over what another page of the same span holds."""
        self.seen.extend(s for s in other.seen if self.find(s.exc) is None)
        self.dropped += other.dropped
        self.events += other.events
        self.failed = self.failed or other.failed
        self.known |= other.known
        self.came = self.came or other.came
        self.torn = self.torn or other.torn
        self.traced = self.traced or other.traced
        self.told += other.told
        if not self.account.bytes:
            self.account = other.account

    def take(self) -> list[Sighting]:
        """Return what is not yet written, and count it as written."""
        pending = [sighting for sighting in self.seen if not sighting.written]
        for sighting in pending:
            sighting.written = True
        return pending
