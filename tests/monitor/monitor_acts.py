"""What a layer does with exceptions of its own, and what should be on the span then."""

from __future__ import annotations

import contextlib
import json
from typing import Any, NamedTuple


class Refused(Exception):
    pass


class Acts:
    """Functions of a layer: those of a base class that its author wrote are its own, too."""

    def nothing(self) -> None: ...

    def handles(self) -> None:
        try:
            raise KeyError("handled")
        except KeyError:
            pass

    def handles_by_a_bare_except(self) -> None:
        try:
            raise KeyError("handled")
        except:  # noqa: E722
            pass

    def handles_what_a_library_raises(self) -> None:
        try:
            json.loads("{")
        except ValueError:
            self.nothing()

    def handles_in_a_closure(self) -> None:
        def inner() -> None:
            self.handles()

        inner()

    def handles_further_out(self) -> None:
        try:
            try:
                self._closes()
            except LookupError:
                raise
            except OSError:
                pass
        except KeyError:
            pass

    def _closes(self) -> None:
        try:
            raise KeyError("handled")
        finally:
            self.nothing()

    def handles_two(self) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            try:
                raise OSError("second")
            except OSError:
                pass

    def handles_many(self) -> None:
        for number in range(50):
            try:
                raise KeyError(number)
            except KeyError:
                pass

    def suppresses(self) -> None:
        with contextlib.suppress(KeyError):
            raise KeyError("suppressed")

    def asks_whether_it_is_over(self) -> None:
        for _ in iter([1]):
            pass
        try:
            next(iter(()))
        except StopIteration:
            self.nothing()
        [*(item for item in [1])]

    def leaves_it_to_a_library(self) -> None:
        """Json's hook fails in a handler of ours, and is handled in none."""
        seen = []

        def hook(found: Any) -> Any:
            try:
                raise KeyError("of a hook")
            finally:
                seen.append(found)

        sorted_by = _Swallowing()
        sorted_by.call(hook)

    def re_raises(self) -> None:
        try:
            raise Refused("gone on")
        except Refused:
            raise

    def translates(self) -> None:
        try:
            raise KeyError("the reason")
        except KeyError as reason:
            raise Refused("translated") from reason

    def fails_after_handling(self) -> None:
        self.handles()
        raise Refused("in the end")


class _Swallowing:
    """Stands for a library: it calls back, and keeps what fails to itself."""

    def call(self, hook: Any) -> None:
        exec("try:\n    hook(1)\nexcept KeyError:\n    pass", {"hook": hook})


class Case(NamedTuple):
    """An act.

    Attributes:
        events: type and `everylayer.handled` of each exception event, in any order.
        status: of the response, None if the app fails.
    """

    act: str
    events: list[tuple[str, bool]]
    fails: bool = False


KEY_ERROR, REFUSED = "KeyError", "monitor_acts.Refused"
CASES = [
    Case("nothing", []),
    Case("handles", [(KEY_ERROR, True)]),
    Case("handles_by_a_bare_except", [(KEY_ERROR, True)]),
    Case("handles_what_a_library_raises", [("json.decoder.JSONDecodeError", True)]),
    Case("handles_in_a_closure", [(KEY_ERROR, True)]),
    Case("handles_further_out", [(KEY_ERROR, True)]),
    Case("handles_two", [(KEY_ERROR, True), ("OSError", True)]),
    Case("handles_many", [(KEY_ERROR, True)] * 8),
    Case("suppresses", []),
    Case("asks_whether_it_is_over", []),
    Case("leaves_it_to_a_library", []),
    Case("re_raises", [(REFUSED, False)], fails=True),
    Case("translates", [(REFUSED, False)], fails=True),
    Case("fails_after_handling", [(REFUSED, False), (KEY_ERROR, False)], fails=True),
]
