"""What the tests of the boundaries within a process share."""

from __future__ import annotations

from contract.collect import quick_collector  # noqa: F401
