"""Whether the link to Sentry is there: it is made once the app has loaded sentry-sdk."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ... import chain
from ...failsafe import contained
from ...settings import Settings

if TYPE_CHECKING:
    from ...ledger import Ledger
    from .link import Link

# None for all who do not use Sentry: that is all they pay, and only on an error.
link: Link | None = None


def look(rules: Settings) -> Link | None:
    """Return the link for an app with these settings; make it if Sentry has come by now."""
    if rules.sentry == "off":
        return None
    if link is None and sys.modules.get("sentry_sdk") is not None:
        _attach()
    return link


@contained
def prepare(rules: Settings) -> None:
    """Make the link at start-up, where Sentry is there already, and tell it the settings."""
    found = look(rules)
    if found is not None:
        found.prefer(rules)


@contained
def awaits(ledger: Ledger) -> bool:
    """Tell whether Sentry may still capture what is on its way out of the request of `ledger`."""
    leaving = chain.in_flight()
    return (
        link is not None
        and ledger.settings.sentry != "off"
        and leaving is not None
        and ledger.knows(leaving)
        and link.expects(leaving, ledger)
    )


@contained
def _attach() -> None:
    global link
    from .link import Link

    made = Link()
    made.install()
    link = made


@contained
def detach() -> None:
    """Take the event processor out of Sentry; the next error of an app puts it back."""
    global link
    if link is not None:
        link.remove()
        link = None
