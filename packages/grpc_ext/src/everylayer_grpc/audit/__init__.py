"""The part of `everylayer audit` that knows gRPC; loaded by the command alone."""

from __future__ import annotations

from .adapter import GrpcAdapter

__all__ = ["GrpcAdapter"]
