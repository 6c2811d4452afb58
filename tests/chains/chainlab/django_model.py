"""What a Django chain must leave behind: an exception of any layer is a response to the next."""

from __future__ import annotations

from collections.abc import Callable

from .acts import act_on_response, at_once
from .expected import Outcome, Witness
from .faults import is_refusal, make
from .grammar import Chain, Step
from .wsgi_model import Answer


class Model:
    """One request through `chain`."""

    def __init__(self, chain: Chain, layer_of: Callable[[BaseException, int], str | None]) -> None:
        self.steps = chain.steps
        self.setup = chain.setup
        self.witness = Witness(layer_of, self.is_a_views_own)

    def run(self) -> Outcome:
        """Return what must be recorded."""
        witness = self.witness
        try:
            response = self.crossing(0)
            witness.status = response.status
            if response.breaks is not None:
                witness.see(response.breaks, len(self.steps) - 1)
                raise response.breaks
        except BaseException as exc:
            witness.see(exc, 0)
            witness.leave(exc)
        return witness.outcome(marks_5xx=self.setup != "manual")

    def is_a_views_own(self, exc: BaseException) -> bool:
        """Tell whether the view refuses the client, which is no layer's business."""
        return is_refusal(exc) and type(exc).__name__.endswith(f"_{len(self.steps) - 1}")

    def crossing(self, index: int) -> Answer:
        try:
            return self.layer(index)
        except Exception as exc:
            self.witness.see(exc, index)
            if is_refusal(exc):
                return Answer(403)
            # What was refused before the failure is not what the request failed for.
            self.witness.superseded += [s.exc for s in self.witness.seen if is_refusal(s.exc)]
            return Answer(500)

    def layer(self, index: int) -> Answer:
        if index == len(self.steps) - 1:
            return self.core()

        async def proceed() -> Answer:
            return self.crossing(index + 1)

        async def answer(status: int) -> Answer:
            return Answer(status)

        return at_once(
            act_on_response(self.steps[index], str(index), proceed, answer, lambda r: r.status)
        )

    def core(self) -> Answer:
        for index, _ in self.hooks("view_hook"):
            raise make(self.steps[index].fault, str(index))
        index, step = len(self.steps) - 1, self.steps[-1]
        try:
            if step.does == "raise":
                raise make(step.fault, str(index))
        except Exception as exc:
            self.witness.see(exc, index)
            for number, hook in reversed(self.hooks("exception_hook")):
                if hook.does == "hook":
                    raise make(hook.fault, str(number))  # noqa: B904 - Django's context links them
                return Answer(hook.status)
            raise
        return Answer(200, make(step.fault, str(index)) if step.does == "stream" else None)

    def hooks(self, kind: str) -> list[tuple[int, Step]]:
        """Return the hooks of this kind that do something."""
        return [(i, s) for i, s in enumerate(self.steps) if s.kind == kind and s.does != "pass"]
