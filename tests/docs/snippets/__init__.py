"""Runs what the documentation shows."""

from __future__ import annotations
