"""What runs the pages notices where a page is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from snippets import shown
from snippets.pages import commands
from snippets.run import run

PRINTED = 'one\n"trace_id": "0x74920468c8d139f15f18d47b5f522ed1",\ntwo\nthree\n'


@pytest.mark.parametrize(
    ("text", "whole", "part"),
    [
        (PRINTED, True, True),
        ('one\n"trace_id": "0x00000000000000000000000000000001",\ntwo\nthree', True, True),
        ("one\n...\nthree", True, True),
        ("one\n...\nt...e", True, True),
        ("two\nthree", False, True),
        ("one\nthree", False, False),
        ("three\n...\none", False, False),
        ("two\nthree\nfour", False, False),
        ("tw", False, False),
    ],
)
def test_what_is_shown_is_held_against_what_is_printed(text: str, whole: bool, part: bool) -> None:
    assert shown.agrees(text, PRINTED) is whole
    assert shown.contains(text, PRINTED) is part


@pytest.mark.parametrize(
    "page",
    [
        '```python\nprint("a")\nraise ValueError\n```\n',
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ false\n```\n",
        "```console\n$ pip install everylayer-nowhere\n```\n",
        "```console\n$ pip install 'everylayer[nothing]'\n```\n",
        "```console\n$ everylayer audit shop:app --no-such-option\n```\n",
        "```console\n$ export EVERYLAYER_NO_SUCH_SETTING=1\n```\n",
        "```console\n$ python -m nox -s no_such_session\n```\n",
        "```toml\na = \n```\n",
        "```yaml\napiVersion: v1\nkind: Service\nspec: {ports: 7}\n```\n",
        '```console title="Terminal 1"\n$ echo over\n```\n```text title="Terminal 1"\nnever\n```\n',
    ],
)
def test_a_page_that_is_wrong_fails(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snippets.run.name_of", lambda place: place.name)
    place = tmp_path / "wrong.md"
    place.write_text(page, encoding="utf-8")
    with pytest.raises(AssertionError):
        run(place, tmp_path)


def test_commands_are_told_from_what_they_print() -> None:
    assert commands("$ a \\\n    b\nout\n$ c\n") == [("a \\\n    b", "out\n"), ("c", "")]
    assert commands("a\nb\n") == [("a", ""), ("b", "")]
