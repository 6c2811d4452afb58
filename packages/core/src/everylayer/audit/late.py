"""An adapter that is loaded when its framework is: most audits are of an app of another one."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import wrapt

from .model import Arm, Shape

if TYPE_CHECKING:
    from .adapter import Adapter, Chain, Opened

# Frameworks whose adapters need nothing before; each is the name of its package, too.
LATE = frozenset({"aiohttp", "litestar"})


class Late:
    """Stands for the adapter of `point`, of a framework of LATE."""

    def __init__(self, point: EntryPoint) -> None:
        self.framework = point.name
        self._point = point
        self._made: Adapter | None = None
        self._failed = False

    def prepare(self, arm: Arm) -> None:
        """Have it prepare the framework once that is imported, before its importer goes on."""

        def begin(_: Any) -> None:
            adapter = self._loaded()
            if adapter is not None:
                adapter.prepare(arm)

        wrapt.when_imported(self.framework)(begin)

    def claims(self, app: object) -> bool:
        """Tell whether `app` is of this framework: none is before that is imported."""
        adapter = self._loaded() if self.framework in sys.modules else None
        return adapter is not None and adapter.claims(app)

    def surrounded(self) -> None:
        """See `Adapter`."""
        tell = getattr(self._needed(), "surrounded", None)
        if tell is not None:
            tell()

    def open(self, app: Any, arm: Arm, shape: Shape) -> Opened:
        """See `Adapter.open`."""
        return self._needed().open(app, arm, shape)

    def chain(self, app: Any) -> Chain:
        """See `Adapter.chain`."""
        return self._needed().chain(app)

    def _needed(self) -> Adapter:
        adapter = self._loaded()
        assert adapter is not None  # It has claimed the app.
        return adapter

    def _loaded(self) -> Adapter | None:
        if self._made is None and not self._failed:
            try:
                self._made = self._point.load()()
            except ImportError as error:
                self._failed = True
                tell_missing(self.framework, error)
        return self._made


def tell_missing(name: str, error: ImportError) -> None:
    """Say on stderr that there is no audit of a framework: it may be too old."""
    sys.stderr.write(f"everylayer: no audit of {name} apps: {error}\n")
