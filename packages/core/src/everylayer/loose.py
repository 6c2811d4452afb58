"""What is recorded where no seam of a request is at hand: by the app, or by work handed on."""

from __future__ import annotations

from opentelemetry.trace import Span

from . import here, ledger, spans
from .failsafe import contained
from .ledger import Ledger
from .settings import Settings


class Loose(Ledger):
    """The ledger of a span that no seam has seen an error of."""

    @contained
    def flush(self) -> None:
        # A thread knows nothing of the app around it; where the span ends, its seam may stand.
        self.settings = here.around() or self.settings
        super().flush()


def ledger_for(span: Span, settings: Settings) -> Ledger:
    """Return the ledger that guards `span`; if none does, one without an outermost seam.

    Args:
        span: where something is to be recorded.
        settings: that hold outside of all apps.
    """
    guard = spans.guard_of(span)
    if guard is not None:
        return guard.ledger
    ledger._any_loose = True
    made = Loose(here.rules(settings), surrounded=False)
    made.bind(span)
    return made
