"""What the instrumentors of the framework packages share: settings, and manners at start-up."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from .boundaries import detached
from .boundaries.patch import Patch, Switch
from .failsafe import contained
from .settings import Settings, SettingsError, resolve
from .sinks.sentry import switch

_logger = logging.getLogger("everylayer")

# What `opentelemetry-instrument` passes, and nothing else.
_LOADERS = frozenset({"skip_dep_check", "raise_exception_on_conflict"})
# What every instrumentor is given; the global providers are the ones that we use.
_COMMON = frozenset({"tracer_provider", "meter_provider", "logger_provider"})


class Instrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Switches everylayer on for each app of the process; keyword arguments are settings.

    Source: opentelemetry.instrumentation.instrumentor.BaseInstrumentor.
    """

    def instrument(self, **kwargs: Any) -> None:
        """Switch everylayer on; a second call does nothing.

        Raises:
            SettingsError: for a setting that cannot be used. Under `opentelemetry-instrument` it
                is logged instead: raising would cost the app all of its telemetry.
        """
        try:
            super().instrument(**kwargs)
        except SettingsError as error:
            if not kwargs or not kwargs.keys() <= _LOADERS:
                raise
            _logger.error("everylayer stays off: %s", error)

    def _instrument(self, **kwargs: Any) -> None:
        self.switch_on({name: value for name, value in kwargs.items() if name not in _COMMON})

    def _uninstrument(self, **kwargs: Any) -> None:
        self.switch_off()
        switch.detach()
        detached.stop()

    @abstractmethod
    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Put the seams in place, for settings that are still to be checked."""

    @abstractmethod
    def switch_off(self) -> None:
        """Leave no trace."""


class NewAppsInstrumentor(Instrumentor):
    """Covers each app that is made from now on.

    Before or after stock's instrumentor: that puts a subclass in the place of the framework's
    class, and the class that both derive from is what is watched.

    Attributes:
        app_class: the framework's own class of apps, from the module that defines it.
    """

    app_class: type[Any]
    _making: Patch | None = None

    @abstractmethod
    def cover(self, app: Any, rules: Settings) -> None:
        """Put the seams on `app`, which has just been made."""

    def switch_on(self, settings: Mapping[str, Any]) -> None:
        """Watch for apps."""
        resolve(settings)

        @contained
        def adopt(app: Any) -> None:
            rules = resolve(settings)
            if rules.enabled:
                self.cover(app, rules)

        def making(original: Any, switch: Switch) -> Any:
            def __init__(app: Any, *args: Any, **about: Any) -> None:
                original(app, *args, **about)
                if switch.on:
                    adopt(app)

            return __init__

        self._making = Patch(self.app_class, "__init__", making)
        self._making.put()

    def switch_off(self) -> None:
        """Watch no more."""
        if self._making is not None:
            self._making.undo()
