"""What builds the documentation site besides MkDocs."""

from __future__ import annotations
