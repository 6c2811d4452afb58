"""Supported versions beside each other, by pairs: what stock loses and what everylayer loses."""

from __future__ import annotations
