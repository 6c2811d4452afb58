"""Ten million span ids of a thousand tenants: not two alike. Long, so on one interpreter only."""

from __future__ import annotations

from array import array
from collections import defaultdict

from everylayer import TenantIdGenerator, use_tenant

TENANTS = 1000
ROUNDS = 2
EACH = 5000


def test_ten_million_ids_do_not_meet() -> None:
    generator = TenantIdGenerator(4096)
    # By their highest 8 bits, as they are found: ids of two groups differ there.
    groups: defaultdict[int, list[array[int]]] = defaultdict(list)
    made = 0
    for _ in range(ROUNDS):
        for number in range(TENANTS):
            with use_tenant(f"tenant-{number}"):
                make = generator.generate_span_id
                chunk = array("Q", [make() for _ in range(EACH)])
            highest = min(chunk) >> 56
            assert max(chunk) >> 56 == highest
            groups[highest].append(chunk)
            made += len(chunk)
    assert len(groups) > 200
    different = 0
    while groups:
        _, chunks = groups.popitem()
        different += len(set().union(*chunks))
    assert different == made == 10_000_000
