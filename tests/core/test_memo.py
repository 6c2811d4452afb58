"""What is kept of an object goes by the object itself, and never keeps it."""

from __future__ import annotations

import gc
import threading
import weakref
from types import CodeType

from everylayer.memo import Memo


def made(name: str) -> CodeType:
    return compile("1", name, "exec")


def test_equal_objects_are_told_apart() -> None:
    memo: Memo[str] = Memo(8)
    one, other = made("same"), made("same")
    assert one == other
    memo.keep(one, "one")
    assert (memo.get(one), memo.get(other)) == ("one", None)


def test_an_address_that_is_another_objects_by_now() -> None:
    memo: Memo[int] = Memo(4096)
    addresses: set[int] = set()
    met_again = 0
    for n in range(2000):
        code = made(f"file{n}")
        assert memo.get(code) is None
        met_again += id(code) in addresses
        addresses.add(id(code))
        memo.keep(code, n)
        del code
    assert met_again, "no address was used twice: nothing was shown"


def test_it_keeps_nothing_alive() -> None:
    memo: Memo[int] = Memo(8)
    code = made("gone")
    watched = weakref.ref(code)
    memo.keep(code, 1)
    del code
    gc.collect()
    assert watched() is None


def test_it_is_bounded() -> None:
    memo: Memo[int] = Memo(16)
    alive = [made(f"file{n}") for n in range(1000)]
    for n, code in enumerate(alive):
        memo.keep(code, n)
    kept = [memo.get(code) for code in alive]
    assert 16 <= sum(value is not None for value in kept) <= 32
    assert all(value in (None, n) for n, value in enumerate(kept))


def test_what_takes_no_weak_reference_is_passed_over() -> None:
    memo: Memo[str] = Memo(8)
    assert memo.keep(7, "seven") == "seven"
    assert memo.get(7) is None


def test_threads_share_it() -> None:
    memo: Memo[int] = Memo(32)
    codes = [made(f"file{n}") for n in range(100)]
    wrong: list[object] = []

    def use() -> None:
        for _ in range(50):
            for n, code in enumerate(codes):
                found = memo.get(code)
                if found not in (None, n):
                    wrong.append(found)
                memo.keep(code, n)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
