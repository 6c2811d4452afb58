"""Span ids that tell the tenant, and never meet; trace ids as random as the SDK's.

The bits below the shard come from one sequence a process, for all of its shards: it begins at a
random place of the whole range and goes on by a fixed odd step, so that it meets each value once
before it repeats. Two processes walk the same cycle, so they collide only where their ways overlap:
for n processes of L ids each with chance n * n * L / 2**52 at 4,096 shards, which is 1 in 450 for a
thousand processes of ten million ids. As many ids of 64 random bits would collide 2.7 times.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import weakref
from collections.abc import Mapping

from ..settings import Settings, SettingsError, current
from .shards import DEFAULT_SHARDS, NOBODY, SPAN_BITS, Directory, bits_of, is_number_of_shards
from .tenant import CURRENT

try:
    from opentelemetry.sdk.trace.id_generator import IdGenerator
except ImportError as error:
    raise ImportError(
        "everylayer.TenantIdGenerator makes ids for the SDK: pip install opentelemetry-sdk"
    ) from error

_logger = logging.getLogger("everylayer")

# 2**64 divided by the golden ratio: what follows lies far from what went before.
_GOLDEN = 0x9E3779B97F4A7C15
_MAX_KNOWN = 16384

_all: weakref.WeakSet[TenantIdGenerator] = weakref.WeakSet()


class TenantIdGenerator(IdGenerator):
    """Puts the tenant's shard into the highest bits of each span id.

    Args:
        shards: how many shards there are, a power of two from 2 to 65,536; None: the setting.
        tenants: shards given to tenants; the others' are hashed. None: the setting's file.

    Raises:
        ValueError: the shards do not fit.
    """

    def __init__(
        self, shards: int | None = None, tenants: Mapping[str, int | None] | None = None
    ) -> None:
        known = NOBODY if tenants is None else Directory.of(tenants)
        if shards is None or tenants is None:
            rules = _settings()
            if shards is None:
                shards = rules.tenant_shards
            if tenants is None and rules.tenant_map:
                known = Directory.read(rules.tenant_map)
        if not is_number_of_shards(shards):
            raise ValueError(f"shards is {shards!r:.100}; it must be a power of two, 2 to 65,536")
        self.shards = shards
        self._directory = known.fit(shards)
        self._shift = SPAN_BITS - bits_of(shards)
        self._mask = (1 << self._shift) - 1
        self._prefixes: dict[str, int] = {}
        self._begin()
        _all.add(self)

    def generate_span_id(self) -> int:
        """Return an id in the shard of the current tenant, in that of nobody if there is none."""
        tenant = CURRENT.get()
        if tenant:
            # No shard of a tenant is 0, so the id is none either.
            return (self._prefixes.get(tenant) or self._meet(tenant)) | (self._next() & self._mask)
        return self._next() & self._mask or self._next() & self._mask

    def generate_trace_id(self) -> int:
        """Return 128 random bits: samplers decide by them, so they tell nothing."""
        return self._bits(128) or self.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Tell that trace ids are random: the W3C's random flag is set."""
        return True

    def shard_of(self, tenant: str) -> int:
        """Return the shard of `tenant`."""
        return self._directory.shard(tenant, self.shards)

    def _begin(self) -> None:
        # Its own source of chance: an app that seeds the module's would get its ids again.
        self._bits = random.Random(os.urandom(32)).getrandbits
        start = int.from_bytes(os.urandom(8), "big") & self._mask
        # Odd, so that it comes by every value.
        step = _GOLDEN >> (SPAN_BITS - self._shift) | 1
        self._next = itertools.count(start, step).__next__

    def _meet(self, tenant: str) -> int:
        if len(self._prefixes) >= _MAX_KNOWN:
            self._prefixes.clear()  # Names come from outside.
        return self._prefixes.setdefault(tenant, self.shard_of(tenant) << self._shift)


def _settings() -> Settings:
    """Return the settings in force; the defaults where they cannot be used.

    The SDK makes the generator that a variable names, and gives up all telemetry if it raises.
    """
    try:
        rules = current()
        if rules.tenant_map:
            Directory.read(rules.tenant_map).fit(rules.tenant_shards)
    except (SettingsError, OSError, ValueError) as error:
        _logger.error("everylayer divides span ids into %d shards: %s", DEFAULT_SHARDS, error)
        return Settings()
    return rules


def _begin_anew() -> None:
    for generator in list(_all):
        generator._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
