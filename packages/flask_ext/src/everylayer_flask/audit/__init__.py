"""The audit's view of a Flask app: its chain, and where a fault can be put in it."""

from __future__ import annotations

from .adapter import FlaskAdapter

__all__ = ["FlaskAdapter"]
