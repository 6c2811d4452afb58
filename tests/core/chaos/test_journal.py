"""The journal: in memory and as lines of a file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from everylayer.chaos import PlanError
from everylayer.chaos.journal import Injected, Journal, Seen, parse, read

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FAULT = Injected(TRACE, "Auth", "before", "chaos-1", "KeyError", 503, True, 7)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "chaos.jsonl"
    journal = Journal(str(file))
    journal.saw(Seen(TRACE, "00f067aa0ba902b7"))
    journal.put(FAULT)
    journal.close()
    journal.put(FAULT)
    assert read(file) == [Seen(TRACE, "00f067aa0ba902b7"), FAULT]
    assert journal.faults == (FAULT, FAULT), "memory goes on without the file"


def test_a_request_counts_once_however_many_layers_it_passes() -> None:
    journal = Journal()
    for _ in range(3):
        journal.saw(Seen(TRACE))
        journal.saw(Seen(TRACE, "00f067aa0ba902b7"))
    assert len(journal.entries) == 2
    assert journal.faults == ()


def test_a_second_run_adds_to_the_file_and_threads_do_not_mix(tmp_path: Path) -> None:
    file = tmp_path / "chaos.jsonl"
    journals = [Journal(str(file)), Journal(str(file))]

    def write(journal: Journal, number: int) -> None:
        for each in range(200):
            journal.saw(Seen(f"{number * 1_000 + each:032x}"))

    threads = [
        threading.Thread(target=write, args=(journals[number % 2], number)) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for journal in journals:
        journal.close()
    assert len({entry.trace_id for entry in read(file)}) == 800


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="which cannot be written"):
        Journal(str(tmp_path / "no" / "such.jsonl"))


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "3",
        '{"kind": "other"}',
        '{"kind": "request"}',
        '{"kind": "request", "trace_id": 3}',
        '{"kind": "request", "trace_id": "a", "x": 1}',
    ],
)
def test_a_line_that_is_none_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 3 is no entry of a journal"):
        parse(['{"kind": "request", "trace_id": "a"}', "", line])
