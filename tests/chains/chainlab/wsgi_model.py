"""What a Flask chain must leave behind: its layers as plain calls, its responses as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .acts import act, at_once
from .expected import Outcome, Witness
from .faults import Fault, make
from .grammar import Chain, Step

HOOKS = ("before_hook", "after_hook", "handler", "on500")


class Answer(NamedTuple):
    """A response: its status, and what breaks its body when it is sent."""

    status: int
    breaks: BaseException | None = None


class Model:
    """One request through `chain`."""

    def __init__(self, chain: Chain, layer_of: Callable[[BaseException, int], str | None]) -> None:
        self.steps = chain.steps
        self.setup = chain.setup
        self.layers = [i for i, step in enumerate(chain.steps[:-1]) if step.kind not in HOOKS]
        self.witness = Witness(layer_of)

    def run(self) -> Outcome:
        """Return what must be recorded."""
        witness = self.witness
        try:
            body = self.crossing(0)
            if body.breaks is not None:
                witness.see(body.breaks, len(self.steps) - 1)
                raise body.breaks
        except BaseException as exc:
            witness.leave(exc)
        return witness.outcome(marks_5xx=self.setup != "manual")

    def crossing(self, number: int) -> Answer:
        """Run WSGI layer `number`, the app itself behind the last one."""
        try:
            if number == len(self.layers):
                return self.app()
            index = self.layers[number]

            async def proceed() -> Answer:
                return self.crossing(number + 1)

            async def answer(status: int) -> Answer:
                return self.start(Answer(status))

            response = at_once(act(self.steps[index], str(index), proceed, answer))
            assert response is not None
            return response
        except BaseException as exc:
            self.witness.see(exc, number)
            raise

    def start(self, answer: Answer) -> Answer:
        """Call `start_response`; a later call replaces it."""
        self.witness.status = answer.status
        return answer

    def app(self) -> Answer:
        """Flask: errors become responses, the span of stock ends with its context."""
        try:
            try:
                response = self.dispatch()
            except Exception as exc:
                self.witness.see(exc, len(self.layers))
                response = Answer(next((s.status for s in self.steps if s.kind == "on500"), 500))
                try:
                    self.after_hooks()
                except Exception as second:
                    self.witness.see(second, len(self.layers))  # Flask logs it, and goes on.
            return self.start(response)
        finally:
            if self.spanned():
                self.witness.end()

    def spanned(self) -> bool:
        """Tell whether stock began its span: it does so in a hook of its own."""
        return self.setup == "stock_first" or (
            self.setup == "stock_last"
            and not any(s.kind == "before_hook" and s.does == "before" for s in self.steps)
        )

    def dispatch(self) -> Answer:
        try:
            self.hooks("before_hook", "before")
            response = self.view()
        except Exception as exc:
            handler = next((s for s in self.steps if s.kind == "handler"), None)
            if handler is None or not isinstance(exc, Fault):
                raise
            self.witness.see(exc, len(self.layers))
            response = Answer(handler.status)
        self.after_hooks()
        return response

    def after_hooks(self) -> None:
        self.hooks("after_hook", "after")

    def hooks(self, kind: str, does: str) -> None:
        found = [(i, step) for i, step in enumerate(self.steps) if step.kind == kind]
        # Flask runs the last one first on the way out.
        for index, step in reversed(found) if kind == "after_hook" else found:
            if step.does == does:
                raise make(step.fault, str(index))

    def view(self) -> Answer:
        index, step = len(self.steps) - 1, self.steps[-1]
        if step.does == "raise":
            raise make(step.fault, str(index))
        return Answer(200, make(step.fault, str(index)) if step.does == "stream" else None)


def is_layer(step: Step) -> bool:
    """Tell a WSGI layer from what is registered with the app."""
    return step.kind not in HOOKS
