"""Faults put into a running staging app, reproducible by trace id, and a check of what arrived."""

from __future__ import annotations

from .errors import ChaosError, ChaosRefused, PlanError
from .plan import Chaos, Rule
from .run import Running, start, stop

__all__ = ["Chaos", "ChaosError", "ChaosRefused", "PlanError", "Rule", "Running", "start", "stop"]
