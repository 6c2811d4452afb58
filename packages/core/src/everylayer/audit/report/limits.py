"""What is too much to read from a file that anybody may have written."""

from __future__ import annotations

MAX_BYTES = 64 * 1024 * 1024
MAX_SPANS = 20_000
# Of one string, in bytes: four times the stack that everylayer itself writes.
MAX_TEXT = 64 * 1024
MAX_DEPTH = 8


class UnreadableError(ValueError):
    """A file that is not what it should be; its message is one sentence for the user."""
