"""What each setting switches on, looked at and begun as the app starts.

Settings know none of it: everything here is made of them. Nothing is loaded that is not wanted.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from . import settings, signals
from .settings import Settings, SettingsError, listed, unfit

_logger = logging.getLogger("everylayer")


class Features(settings.Features):
    """All that there is."""

    def check(self, made: Settings) -> None:
        """Raise SettingsError for a value that a feature cannot use."""
        from .redaction import Redaction, guard

        if not isinstance(made.redaction, (str, Redaction)):
            raise unfit("redaction", made.redaction, "a string, or an everylayer.Redaction")
        guard.prepare(made.redaction, variables=made.local_variables)
        if made.trusted_peers:
            from .boundaries import trust

            for peer in made.trusted_peers:
                if not trust.is_peer(peer):
                    raise unfit("trusted_peers", peer, trust.WANTED)
        if made.tenant != "off":
            from .boundaries import tenant_source

            tenant_source.policy_of(made)

    def start(self, made: Settings, given: Mapping[str, Any]) -> None:
        """Start what `made` asks for."""
        if not made.enabled:
            return
        if made.metrics:
            from .sinks import metrics

            metrics.prepare()
        if made.detached == "record":
            from .boundaries import detached

            detached.start()
        if made.sentry != "off":
            _meet_sentry(made, given)

    def changed(self, values: Mapping[str, Any]) -> None:
        """Stop what `configure(**values)` no longer wants."""
        detached = _loaded("boundaries.detached")
        if detached is not None and values.get("detached") == "off":
            detached.stop()

    def forget(self) -> None:
        """Stop everything, and keep nothing of what was read."""
        from . import volume
        from .boundaries import tenant_labels
        from .redaction import guard

        guard.forget()
        volume.forget()
        self.changed({"detached": "off"})
        tenant_labels.forget_labels()
        signals.forget()


def _loaded(name: str) -> ModuleType | None:
    return sys.modules.get(f"{__package__}.{name}")


def _meet_sentry(made: Settings, given: Mapping[str, Any]) -> None:
    """Link the app to Sentry at its start, or say what is missing."""
    if sys.modules.get("sentry_sdk") is not None:
        from .sinks.sentry import switch

        switch.prepare(made)
        return
    asked = [name for name in ("sentry", "trace_url", "sentry_url") if given.get(name)]
    if not asked or importlib.util.find_spec("sentry_sdk") is not None:
        return
    if made.sentry == "capture" or made.sentry_url:
        name = "sentry" if made.sentry == "capture" else "sentry_url"
        raise SettingsError(
            f"everylayer setting {name} is {getattr(made, name)!r:.200}, and sentry-sdk is not "
            "installed: pip install 'everylayer[sentry]', or set sentry to 'off'."
        )
    _logger.warning(
        "everylayer settings %s do nothing: sentry-sdk is not installed; "
        "pip install 'everylayer[sentry]'",
        listed(asked),
    )


settings.features = Features()
