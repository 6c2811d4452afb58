"""What one request must leave behind, and the rules that all frameworks share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from .faults import is_refusal


class Recorded(NamedTuple):
    """One exception event; None in `layer` or `handled` leaves it open."""

    type: str
    message: str | None
    layer: str | None
    handled: bool | None


@dataclass
class Outcome:
    """The trace of one request.

    Attributes:
        on_server: events of the server span, in order.
        late: events of late child spans, in order.
        failed: the server span is ERROR.
        server: whether there is a server span at all.
        sighted: how many exceptions crossed a boundary, repeated ones too.
    """

    on_server: list[Recorded] = field(default_factory=list)
    late: list[Recorded] = field(default_factory=list)
    failed: bool | None = False
    server: bool = True
    sighted: int = 0


@dataclass
class Sighting:
    """An exception when it first crossed a boundary.

    Attributes:
        exc: itself.
        layer: where it was raised.
        after_end: the server span had ended.
        status: of the response when the server span ended with a known one, None otherwise.
        by_others: whoever made the server span records it, in words of its own.
    """

    exc: BaseException
    layer: str | None
    after_end: bool
    status: int | None = None
    by_others: bool = False


@dataclass
class Witness:
    """Notes what crosses a boundary between two layers: the whole model, with `outcome`.

    Attributes:
        layer_of: names the layer that raised an exception, given where it first crossed.
        ignores: tells what is no error unless the request fails.
        status: of the response that went out, None before that.
        ended: the server span has ended.
        at_end: the status when it did.
        escaped: what left the app, or what everylayer stands around.
        superseded: what another error has taken the place of, so that it is none itself.
    """

    layer_of: Callable[[BaseException, int], str | None]
    ignores: Callable[[BaseException], bool] = lambda exc: False
    seen: list[Sighting] = field(default_factory=list)
    status: int | None = None
    ended: bool = False
    at_end: int | None = None
    escaped: list[BaseException] = field(default_factory=list)
    superseded: list[BaseException] = field(default_factory=list)

    def see(self, exc: BaseException, boundary: int) -> None:
        """Note `exc`, the first time that it crosses any boundary."""
        if isinstance(exc, GeneratorExit) or any(s.exc is exc for s in self.seen):
            return
        self.seen.append(Sighting(exc, self.layer_of(exc, boundary), self.ended))

    def leave(self, exc: BaseException) -> None:
        """Note that `exc` goes where no seam is, and in its shape what it was raised from."""
        shape: BaseException | None = exc
        while shape is not None and not any(shape is known for known in self.escaped):
            self.escaped.append(shape)
            shape = shape.__cause__

    def see_by_others(self, exc: BaseException) -> None:
        """Note `exc` where it leaves the server span, unless everylayer has seen it."""
        if not any(s.exc is exc for s in self.seen):
            self.seen.append(Sighting(exc, None, after_end=False, by_others=True))

    def end(self) -> None:
        """End the server span: what it holds is judged by the response as it is now."""
        if self.status is not None and not self.ended:
            self.ended = True
            self.at_end = self.status
            for sighting in self.seen:
                sighting.status = self.status

    def forget(self, exc: BaseException) -> None:
        """Leave out `exc`: there is no boundary where the framework caught it."""
        self.seen = [s for s in self.seen if s.exc is not exc]

    def outcome(self, *, marks_5xx: bool) -> Outcome:
        """Apply the rules: once each, handled if the answer is below 500, late after the end.

        Args:
            marks_5xx: what made the server span makes it ERROR for a 5xx.
        """
        found = Outcome(sighted=len(self.seen))
        kept: list[tuple[Sighting, bool]] = []
        for sighting in self.seen:
            left = sighting.by_others or any(sighting.exc is exc for exc in self.escaped)
            status = self.status if sighting.status is None else sighting.status
            # A refusal that nothing answered is not what the request failed for.
            answer = status or (403 if is_refusal(sighting.exc) else 500)
            failed = sighting.after_end or left or answer >= 500
            if not failed and self.ignores(sighting.exc):
                continue
            failed = failed and not any(sighting.exc is exc for exc in self.superseded)
            if _is_repeated(sighting, failed, kept):
                continue
            kept.append((sighting, failed))
            where = found.late if sighting.after_end else found.on_server
            where.append(_recorded(sighting, handled=None if sighting.by_others else not failed))
        status = self.status if self.at_end is None else self.at_end
        marked = marks_5xx and status is not None and status >= 500
        found.failed = marked or not all(e.handled for e in found.on_server)
        return found


def earlier_than(exc: BaseException) -> list[BaseException]:
    """Return what was on its way when `exc` was raised."""
    earlier: list[BaseException] = []
    queue = [exc]
    while queue:
        current = queue.pop()
        for link in (current.__cause__, current.__context__):
            if link is not None and not any(link is e for e in (*earlier, exc)):
                earlier.append(link)
                queue.append(link)
    return earlier


def _is_repeated(sighting: Sighting, failed: bool, kept: list[tuple[Sighting, bool]]) -> bool:
    """Tell whether the same failure is its own reason: a converter that fails at each layer.

    One that was dealt with, and then not, is two.
    """
    earlier = earlier_than(sighting.exc)
    same = (type(sighting.exc), _message(sighting.exc))
    return any(
        (type(k.exc), _message(k.exc)) == same
        and any(k.exc is e for e in earlier)
        and (before or not failed)
        for k, before in kept
    )


def _recorded(sighting: Sighting, *, handled: bool | None) -> Recorded:
    cls = type(sighting.exc)
    name = cls.__name__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__name__}"
    return Recorded(name, _message(sighting.exc), sighting.layer, handled)


def _message(exc: BaseException) -> str | None:
    try:
        return str(exc).encode("utf-8", "backslashreplace").decode()
    except RuntimeError:
        return None
