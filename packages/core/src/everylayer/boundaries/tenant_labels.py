"""Tenants as values of metrics: the known ones and the first others, up to `max_tenants`."""

from __future__ import annotations

from collections.abc import Iterable

from .. import settings
from ..failsafe import contained
from ..forks import ForkLock
from .bounded import BoundedValues
from .tenant import CURRENT

_lock = ForkLock()
_labels: BoundedValues | None = None


def tenant_label() -> str | None:
    """Return the tenant as an attribute of metrics: at most `max_tenants` of them, then `other`."""
    name = CURRENT.get()
    return label_of(name) if name else None


def label_of(name: str) -> str:
    """Return `name`, a tenant's, as an attribute of metrics."""
    return (_labels or _make_labels())(name)


def forget_labels() -> None:
    """Count the tenants of metrics anew, by the settings then in force."""
    global _labels
    _labels = None


def _make_labels() -> BoundedValues:
    global _labels
    with _lock:
        if _labels is None:
            rules = settings.current()
            known = _known(rules.tenant_map) or ()
            _labels = BoundedValues(rules.max_tenants, known, name="tenants")
        return _labels


@contained
def _known(path: str) -> Iterable[str]:
    from .shards import Directory

    return Directory.read(path).names if path else ()
