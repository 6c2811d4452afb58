"""The test suites of the frameworks and of stock, run plain and with everylayer switched on."""

from __future__ import annotations
