"""Reading a token back: each use is written down first."""

from __future__ import annotations

import getpass
import json
import os
import time
from pathlib import Path

from .keys import KeyProvider


class RevealError(RuntimeError):
    """Nothing was revealed: the audit log cannot be written."""


def reveal(token: str, keys: KeyProvider, *, audit_log: str | os.PathLike[str]) -> str:
    """Return the value in `token`, after a line about it is safe in `audit_log`.

    Args:
        token: as it stands in the telemetry, with its brackets or without.
        keys: those that it may have been made with.
        audit_log: a file of JSON lines, made with mode 0600 where there is none.

    Raises:
        TokenError: the token cannot be read; the attempt is written down too.
        RevealError: the audit log cannot be written.
        SettingsError: the extra `everylayer[redaction]` is missing.
    """
    from . import tokens

    try:
        kind, value, key_id = tokens.unseal(token, keys)
    except tokens.TokenError as error:
        _write(audit_log, {"token": token[:512], "outcome": "refused", "reason": str(error)})
        raise
    _write(audit_log, {"token": token[:512], "outcome": "revealed", "kind": kind, "key": key_id})
    return value


def _write(path: str | os.PathLike[str], entry: dict[str, str]) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"time": now, "user": _user(), "pid": os.getpid(), **entry}) + "\n"
    try:
        fd = os.open(Path(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            data = line.encode()
            if os.write(fd, data) != len(data):
                raise OSError("the line was written in part")
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise RevealError(
            f"the audit log cannot be written, nothing is revealed: {error}"
        ) from None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return str(getattr(os, "getuid", lambda: "unknown")())
