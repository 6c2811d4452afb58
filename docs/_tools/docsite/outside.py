"""Files beside docs/ that pages link to: each becomes a page of the site, under `repository/`.

So the site needs no public repository to point at, and the pages keep the links that a plain view
of the repository follows.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .links import rewritten, targets

FOLDER = "repository"
DOCS = "docs"
_LANGUAGES = {
    ".json": "json",
    ".py": "python",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n\n"


class Outside:
    """The pages of files outside docs/.

    Args:
        root: the repository's folder.
    """

    __slots__ = ("pages", "root")

    def __init__(self, root: Path) -> None:
        self.root = root
        # The page's path below docs/ -> that of the file below the repository.
        self.pages: dict[str, str] = {}

    def collect(self, sources: Mapping[str, str]) -> dict[str, str]:
        """Return the text of every page that is needed, by its path below docs/.

        Args:
            sources: the pages in docs/: path below it -> text.

        Links of the pages found are followed too.
        """
        found: dict[str, str] = {}
        waiting = [self._linked(f"{DOCS}/{name}", text) for name, text in sources.items()]
        while waiting:
            for path in waiting.pop():
                name = self._page_of(path)
                if name in found:
                    continue
                found[name] = self._text(path)
                self.pages[name] = path
                waiting.append(self._linked(path, found[name]))
        return found

    def inside(self, name: str, markdown: str) -> str:
        """Return the text of page `name` with links that lead to pages of the site."""
        origin = self.pages.get(name, f"{DOCS}/{name}")

        def change(target: str) -> str:
            path = self._path(origin, target)
            if path is None:
                return target
            below_docs = path.startswith(f"{DOCS}/")
            if below_docs and name not in self.pages:
                return target
            page = path.removeprefix(f"{DOCS}/") if below_docs else self._page_of(path)
            fragment = urlsplit(target).fragment
            relative = posixpath.relpath(page, posixpath.dirname(name) or ".")
            return f"{relative}#{fragment}" if fragment else relative

        return rewritten(markdown, change)

    def _linked(self, origin: str, markdown: str) -> Iterable[str]:
        paths = (self._path(origin, target) for target in targets(markdown))
        return [path for path in paths if path is not None and not path.startswith(f"{DOCS}/")]

    def _path(self, origin: str, target: str) -> str | None:
        """Return what `target`, on the page of `origin`, names in the repository, None for a URL.

        A path that is not there is None too: the strict build then names page and link.
        """
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), parts.path))
        if path.startswith("..") or not (self.root / path).exists():
            return None
        if (self.root / path / "README.md").is_file():
            return "README.md" if path == "." else f"{path}/README.md"
        return path

    def _page_of(self, path: str) -> str:
        page = path if path.endswith(".md") else f"{path}.md"
        return f"{FOLDER}/{page}"

    def _text(self, path: str) -> str:
        source = self.root / path
        if source.is_dir():
            names = sorted(
                f"{child.name}/" if child.is_dir() else child.name
                for child in source.iterdir()
                if not child.name.startswith((".", "__pycache__"))
            )
            return f"{_UNSEARCHED}# {path}\n\n" + "".join(f"- `{name}`\n" for name in names)
        text = source.read_text(encoding="utf-8")
        if source.suffix == ".md":
            return text
        return (
            f"{_UNSEARCHED}# {path}\n\n````{_LANGUAGES.get(source.suffix, 'text')}\n{text}\n````\n"
        )
