"""Reading a token back: each use is written down first."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable

from ..settings import SettingsError
from .keys import KeyProvider, TokenError

# What is no token may be a secret that was given by mistake: it is not written down.
_TOKEN = re.compile(r"tok1\.[\w-]{1,32}\.[a-z]\.[\w-]{1,400}")


class RevealError(RuntimeError):
    """Nothing was revealed: the audit log cannot be written."""


def reveal(token: str, keys: KeyProvider, *, audit_log: str | os.PathLike[str]) -> str:
    """Return the value in `token`, after a line about it is safe in `audit_log`.

    Args:
        token: as it stands in the telemetry, with its brackets or without.
        keys: those that it may have been made with.
        audit_log: a file of JSON lines, made with mode 0600 where there is none. Attempts that
            fail are written down too.

    Raises:
        TokenError: the token cannot be read.
        RevealError: the audit log cannot be written.
        SettingsError: the extra `everylayer[redaction]` is missing.
    """
    return reveal_with(token, lambda: keys, audit_log=audit_log)


def reveal_with(
    token: str, fetch: Callable[[], KeyProvider], *, audit_log: str | os.PathLike[str]
) -> str:
    """Return what `reveal` does; keys that cannot be fetched are an attempt that fails."""
    found = _TOKEN.search(token)
    about = {"token": found[0] if found is not None else ""}
    try:
        from . import tokens

        kind, value, key_id = tokens.unseal(token, fetch())
    except Exception as error:
        # Of a provider of the user's only the type is known to quote nothing.
        ours = isinstance(error, (SettingsError, TokenError))
        reason = str(error) if ours else type(error).__name__
        _write(audit_log, {**about, "outcome": "refused", "reason": reason})
        raise
    _write(audit_log, {**about, "outcome": "revealed", "kind": kind, "key": key_id})
    return value


def _write(path: str | os.PathLike[str], entry: dict[str, str]) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = json.dumps({"time": now, "user": _user(), "pid": os.getpid(), **entry}) + "\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
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
    # Of the process, not of its variables, which anybody may set.
    uid = getattr(os, "getuid", None)
    if uid is None:
        import getpass

        return getpass.getuser()
    try:
        import pwd

        return pwd.getpwuid(uid()).pw_name
    except (ImportError, KeyError):
        return str(uid())
