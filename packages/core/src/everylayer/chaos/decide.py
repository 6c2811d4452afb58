"""Who fails where: a function of rule and trace id, and of nothing else."""

from __future__ import annotations

import hashlib

from .plan import Rule

_WHOLE = 2**64


def applies(rule: Rule, trace_id: str) -> bool:
    """Tell whether `rule` is about requests of this trace at all."""
    if not trace_id.startswith(rule.trace_id):
        return False
    return rule.modulus is None or int(trace_id, 16) % rule.modulus[0] == rule.modulus[1]


def place_for(rule: Rule, seed: str, trace_id: str, places: int) -> int | None:
    """Return at which of `places` the requests of a trace fail, None for at none.

    With a higher probability those that failed before fail still, at the same place. One place
    for each trace: if each layer failed, only the outermost would be tried.

    Args:
        rule: the rule.
        seed: the plan's.
        trace_id: 32 hexadecimal digits.
        places: how many layers and phases the rule fits.
    """
    if not places or not applies(rule, trace_id):
        return None
    key = "\0".join((seed, rule.layer, rule.phase, rule.error, trace_id))
    digest = hashlib.blake2b(key.encode("utf-8", "backslashreplace"), digest_size=16).digest()
    if int.from_bytes(digest[:8], "big") >= rule.probability * _WHOLE:
        return None
    return int.from_bytes(digest[8:], "big") % places
