"""What a failing server tells of its error in the trailing metadata.

The codec of the error context registers itself here; each reader gives span attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from opentelemetry.util.types import AttributeValue

from everylayer.failsafe import contained

Trailing = Sequence[tuple[str, "str | bytes"]]
Reader = Callable[[Trailing], Mapping[str, AttributeValue]]

readers: list[Reader] = []


@contained
def told_in(trailing: Trailing) -> dict[str, AttributeValue]:
    """Return what `trailing`, the metadata that came with a failure, says of it."""
    found: dict[str, AttributeValue] = {}
    for reader in readers:
        found.update(reader(trailing))
    return found
