"""The examples of docs/concepts are run: what is printed below each is what it leaves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from contract.drive import environ, run_asgi, run_wsgi, scope
from contract.telemetry import Telemetry, late_spans, server_span, session
from everylayer import settings
from pages import ROOT, rows, section, text_of

PAGES = ("seams", "exactly-once", "handled", "late")
_EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(GET .*?)```", re.DOTALL)
EXAMPLES = [
    pytest.param(code, said, id=f"{page}-{number}")
    for page in PAGES
    for number, (code, said) in enumerate(_EXAMPLE.findall(text_of(f"concepts/{page}.md")))
]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    settings.reset()
    with session() as found:
        yield found


def ask(app: Any) -> int | None:
    return (
        run_wsgi(app, environ()).status if isinstance(app, Flask) else run_asgi(app, scope()).status
    )


def told(span: Any) -> Iterator[str]:
    description = span.status.description
    yield span.status.status_code.name + (f' "{description}"' if description else "")


def shown(status: int | None, telemetry: Telemetry) -> str:
    """Describe what a request has left as the pages do."""
    lines = [f"GET / {status}"]
    lines += [f"  span {one}" for one in told(server_span(telemetry.spans))]
    for late in late_spans(telemetry.spans):
        lines += [f'  late span "{late.name}" {one}' for one in told(late)]
    for event in itertools.chain.from_iterable(span.events for span in telemetry.spans):
        found = event.attributes
        line = "  event {} in {} ({})".format(
            str(found["exception.type"]).removeprefix("shop."),
            found["everylayer.layer.name"],
            found["everylayer.layer.kind"],
        )
        lines.append(line + (", handled" if found["everylayer.handled"] else ""))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(("code", "said"), EXAMPLES)
def test_an_example_leaves_what_the_page_shows(code: str, said: str, telemetry: Telemetry) -> None:
    made: dict[str, Any] = {"__name__": "shop"}
    exec(compile(code, "shop.py", "exec"), made)
    assert shown(ask(made["app"]), telemetry) == said


def test_the_pages_have_examples() -> None:
    assert len(EXAMPLES) == 9


def test_links_lead_somewhere() -> None:
    pages = [*(ROOT / "docs").glob("concepts/*.md"), *(ROOT / "docs").glob("migrate/*.md")]
    pages += [
        ROOT / "docs" / f"{n}.md" for n in ("conventions", "opentelemetry", "security", "faq")
    ]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.name}: {target}"
            if anchor and there.suffix == ".md":
                assert anchor in anchors(there.read_text(encoding="utf-8")), (
                    f"{page.name}: {target}"
                )


def anchors(text: str) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_rules_of_handled_are_those_of_the_readme() -> None:
    """Both tables say the same of what has an event and what of a status."""
    own = rows(text_of("concepts/handled.md").partition("## Worked")[0])
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    theirs = {row[0]: row[2] for row in rows(section(readme, "What you see"))}
    refused = next(status for what, status in theirs.items() if what.startswith("a layer or hook"))
    assert refused == next(row[3] for row in own if row[0].startswith("a layer or hook"))
    assert {row[1][:2] for row in own} <= {"ye", "no", "on"}
