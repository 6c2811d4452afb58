"""What a WSGI app is made of.

Source: PEP 3333.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


def is_file(body: Iterable[bytes], environ: Environ) -> bool:
    """Tell whether the server may send `body` by a system call, so that it must stay as it is."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)
