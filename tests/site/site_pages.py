"""The built site as data: what each page links to, loads, and can be linked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"

_LOADING = {
    ("audio", "src"),
    ("embed", "src"),
    ("iframe", "src"),
    ("image", "href"),
    ("img", "src"),
    ("object", "data"),
    ("script", "src"),
    ("source", "src"),
    ("use", "href"),
    ("video", "src"),
}
_LOADING_LINKS = {"dns-prefetch", "icon", "manifest", "modulepreload", "preconnect", "preload"}
_CODE = {"code", "pre", "script", "style"}


@dataclass
class Page:
    """One page.

    Attributes:
        links: targets of `a`, as written.
        loads: addresses that a browser asks for without a click, as written.
        ids: what an anchor may name.
        headings: level and id of each.
        prose: texts outside code, one a piece of text.
        classes: all of them.
    """

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    headings: list[tuple[int, str]] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.ids.update(given[name] for name in ("id", "name") if given.get(name))
        self.page.classes.update(given.get("class", "").split())
        self.code += tag in _CODE
        if tag == "a" and "href" in given:
            self.page.links.append(given["href"])
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.page.headings.append((int(tag[1]), given.get("id", "")))
        loads = [value for name, value in given.items() if (tag, name) in _LOADING]
        if tag == "link" and {*given.get("rel", "").split()} & {"stylesheet", *_LOADING_LINKS}:
            loads.append(given["href"])
        self.page.loads += [value for value in loads if not value.startswith(("data:", "#"))]

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in _CODE

    def handle_data(self, data: str) -> None:
        if not self.code:
            self.page.prose.append(data)


def names() -> list[str]:
    """Return the path of each page below the site; none if it is not built."""
    return sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))


@cache
def page(name: str) -> Page:
    reader = _Reader()
    reader.feed((SITE / name).read_text(encoding="utf-8"))
    reader.close()
    return reader.page
