"""The report as one HTML page that needs nothing else, and the same page for a trace file.

The app's own text reaches it as JSON in a block that is not run, and the script puts each piece
of it into the page as text. The policy allows the page's own style and script by hash, no more.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from ..model import Report, SpanData
from .view import report_view, traces_view

_SCRIPTS = ("dom.js", "trace.js", "chain.js", "trial.js", "list.js", "page.js")
# What could end the block of data, or begin a comment in it.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(report: Report) -> str:
    """Return the page of an audit."""
    return _page(report_view(report))


def render_traces(name: str, spans: Iterable[SpanData]) -> str:
    """Return the page of the traces in the file `name`."""
    return _page(traces_view(name, spans))


def _page(view: dict[str, Any]) -> str:
    before, after = _frame().split("@@data@@")
    return f"{before}{_data(view)}{after}"


def _data(view: dict[str, Any]) -> str:
    # ASCII alone: a lone surrogate stays an escape, as does what JavaScript takes for a line's end.
    return json.dumps(view, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


@cache
def _frame() -> str:
    """Return the page without its data."""
    style = _read("page.css")
    script = '"use strict";\n' + "\n".join(map(_read, _SCRIPTS))
    page = _read("page.html")
    for name, text in (
        ("policy", f"style-src {_hash(style)}; script-src {_hash(script)}"),
        ("style", style),
        ("script", script),
    ):
        page = page.replace(f"@@{name}@@", text)
    return page


def _read(name: str) -> str:
    return files("everylayer.audit.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
