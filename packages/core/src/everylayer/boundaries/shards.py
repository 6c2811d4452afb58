"""Which part of all span ids a tenant's spans have, and whose a span id is.

A span id of 64 bits is `shard | rest`. As many of its highest bits as the number of shards takes
tell the shard; 12 for the default of 4,096, so that the first three hexadecimal digits are the
shard. Shard 0 is that of spans without a tenant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from .tenant import checked

SPAN_BITS = 64
DEFAULT_SHARDS = 4096
# A rest of 48 bits at least.
LEAST_SHARDS, MOST_SHARDS = 2, 65536


def is_number_of_shards(value: int) -> bool:
    """Tell whether ids can be divided into so many shards: a power of two from 2 to 65,536."""
    return LEAST_SHARDS <= value <= MOST_SHARDS and value & (value - 1) == 0


def bits_of(shards: int) -> int:
    """Return how many bits tell one of `shards` shards apart."""
    return shards.bit_length() - 1


def shard_of(span_id: int, shards: int) -> int:
    """Return the shard that `span_id` lies in."""
    return span_id >> (SPAN_BITS - bits_of(shards))


def hashed(tenant: str, shards: int) -> int:
    """Return the shard of a tenant that has none of its own: stable, never 0.

    Tenants may share one: of n tenants in s shards a share of about 1 - exp(-n / s) does.
    """
    digest = blake2b(tenant.encode(), digest_size=8, person=b"everylayer").digest()
    return 1 + int.from_bytes(digest, "big") % (shards - 1)


class Directory(NamedTuple):
    """Known tenants and the shards that they have been given.

    Attributes:
        shards: by tenant; None for one whose shard is hashed.
    """

    shards: Mapping[str, int | None]

    @property
    def names(self) -> Iterable[str]:
        """All tenants, in the file's order."""
        return self.shards

    @classmethod
    def read(cls, path: str) -> Directory:
        """Read a file in JSON: a list of tenants, or an object of tenants and their shards.

        Raises:
            OSError: it cannot be read.
            ValueError: it is something else.
        """
        return cls.of(json.loads(Path(path).read_text(encoding="utf-8")))

    @classmethod
    def of(cls, found: Any) -> Directory:
        """Check what such a file holds.

        Raises:
            ValueError: naming what does not fit.
        """
        if isinstance(found, list):
            found = {name if isinstance(name, str) else str([name]): None for name in found}
        if not isinstance(found, Mapping):
            raise ValueError("it must be a list of tenants, or an object of tenants and shards")
        for name, shard in found.items():
            if not checked(name):
                raise ValueError(f"{name!r:.200} cannot be a tenant")
            if shard is not None and (type(shard) is not int or not 0 < shard < MOST_SHARDS):
                raise ValueError(
                    f"the shard of {name} is {shard!r:.100}; "
                    f"it must be a number from 1 to {MOST_SHARDS - 1}, or null"
                )
        return cls(dict(found))

    def fit(self, shards: int) -> Directory:
        """Return itself if all its shards are below `shards`.

        Raises:
            ValueError: naming the first that is not.
        """
        for name, shard in self.shards.items():
            if shard is not None and shard >= shards:
                raise ValueError(f"the shard of {name} is {shard}, and there are {shards}")
        return self

    def shard(self, tenant: str, shards: int) -> int:
        """Return the shard of `tenant`: its own, or the hashed one."""
        return self.shards.get(tenant) or hashed(tenant, shards)

    def tenants_in(self, shard: int, shards: int) -> list[str]:
        """Return the known tenants of `shard`: more than one where they share it."""
        return [name for name in self.shards if self.shard(name, shards) == shard]


NOBODY = Directory({})
