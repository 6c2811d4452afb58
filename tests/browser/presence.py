"""Whether there is a browser to look with."""

from __future__ import annotations

try:
    from chromium import executables
except ImportError as error:
    ABSENT = f"{error}: run `nox -s browser`"
else:
    ABSENT = "" if executables() else "no chromium with its chromedriver on PATH"
