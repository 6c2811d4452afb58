"""Where work changes hands: what goes with it, and what is taken from others."""

from __future__ import annotations
