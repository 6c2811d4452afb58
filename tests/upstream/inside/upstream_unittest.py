"""Django's test runner, with a line for each test's outcome."""

from __future__ import annotations

import json
import os
import traceback
import unittest
from types import TracebackType
from typing import Any

from django.test.runner import DiscoverRunner

Excinfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class _Lines(unittest.TextTestResult):
    def _put(self, test: unittest.TestCase, outcome: str, err: Excinfo | None = None) -> None:
        text = "".join(traceback.format_exception(err[1])) if err and err[1] else ""
        with open(os.environ["UPSTREAM_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps([test.id(), outcome, text]) + "\n")

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self._put(test, "passed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._put(test, "failed", err)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._put(test, "failed", err)

    def addSubTest(  # noqa: N802
        self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any
    ) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._put(test, "failed", err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self._put(test, "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self._put(test, "xfailed")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self._put(test, "failed")


class Runner(DiscoverRunner):
    """Writes to the file that `UPSTREAM_RESULTS` names."""

    def get_resultclass(self) -> type[unittest.TextTestResult]:
        """Return the result class."""
        return _Lines
