"""What an ASGI chain must leave behind: its layers run as coroutines whose messages are yields."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from .acts import act
from .expected import Outcome, Witness, earlier_than
from .faults import Fault, make
from .grammar import Chain, Step

# `("start", status)`, `("chunk", 0)`, `("end", 0)`.
Message = tuple[str, int]
Running = Coroutine[Any, None, Any]


@types.coroutine
def say(*messages: Message) -> Generator[Message, None, None]:
    """Send messages outwards."""
    yield from messages


class Relay:
    """Runs what is inside and passes its messages on, noting that a response has started."""

    def __init__(self) -> None:
        self.started = False

    @types.coroutine
    def run(self, inner: Running) -> Generator[Message, None, None]:
        while True:
            try:
                message = inner.send(None)
            except StopIteration:
                return
            self.started = True
            yield message


def respond(status: int) -> Any:
    """Send a whole response."""
    return say(("start", status), ("end", 0))


def tasks_failed(exc: BaseException) -> BaseException:
    """Return what a task group raises for `exc`, besides which no response has come."""
    lost = RuntimeError("No response returned.")
    return BaseExceptionGroup("unhandled errors in a TaskGroup", [lost, exc])


class Model:
    """One request through `chain`."""

    def __init__(self, chain: Chain, layer_of: Callable[[BaseException, int], str | None]) -> None:
        self.chain = chain
        self.witness = Witness(layer_of)
        # In Starlette's own stack everylayer covers it all, wherever it stands.
        self.outermost = chain.entry if chain.framework == "asgi" else -1
        self.by_stock = chain.setup.startswith("stock")
        self.reached = False

    def run(self) -> Outcome:
        """Return what must be recorded."""
        witness = self.witness
        request = self.crossing(-1 if self.chain.framework != "asgi" else 0)
        try:
            while True:
                message = request.send(None)
                if self.by_stock:
                    self.note(message)
        except StopIteration:
            pass
        except BaseException as exc:
            if self.by_stock:
                witness.leave(exc)
                if not witness.ended:
                    witness.see_by_others(exc)
        outcome = witness.outcome(marks_5xx=self.chain.setup != "manual")
        if self.chain.setup == "native":
            # FastAPI marks what a layer swallows, too.
            outcome.failed = outcome.failed or None
        outcome.server = self.reached or self.chain.setup != "alone"
        return outcome

    def note(self, message: Message) -> None:
        """Take a message where the server span is."""
        kind, status = message
        if kind == "start" and self.witness.status is None:
            self.witness.status = status
        elif kind == "end":
            self.witness.ended = self.chain.setup != "manual"

    @types.coroutine
    def entry(self, inner: Running) -> Generator[Message, None, None]:
        """Everylayer: what stands around it, it cannot see."""
        self.reached = True
        started = False
        while True:
            try:
                message = inner.send(None)
            except StopIteration:
                return
            except BaseException as exc:
                # Stock knows the response that a layer further out may give instead.
                if started or not self.by_stock:
                    self.witness.leave(exc)
                raise
            started = True
            if not self.by_stock:
                self.note(message)
            yield message

    async def crossing(self, index: int) -> None:
        if index == self.outermost:
            await self.entry(self.seen_crossing(index))
        elif index < self.outermost:
            await self.layer(index)
        else:
            await self.seen_crossing(index)

    async def seen_crossing(self, index: int) -> None:
        try:
            await self.layer(index)
        except BaseException as exc:
            self.witness.see(exc, index)
            raise

    async def layer(self, index: int) -> None:
        step = self.chain.steps[index] if index >= 0 else Step("errors")
        if step.kind in ("errors", "on500"):
            await self.errors(index, step)
        elif step.kind == "handler":
            await self.handler(index, step)
        elif step.kind == "dependency":
            await self.dependency(index, step)
        elif step.kind == "dispatch":
            await self.dispatch(index, step)
        elif index == len(self.chain.steps) - 1:
            await self.view(index, step)
        else:
            relay = Relay()
            await act(
                step,
                str(index),
                lambda: relay.run(self.crossing(index + 1)),
                respond,
                lambda: relay.started,
            )

    async def view(self, index: int, step: Step) -> None:
        if step.does == "raise":
            raise make(step.fault, str(index))
        await say(("start", 200), ("chunk", 0))
        if step.does == "stream":
            raise make(step.fault, str(index))
        await say(("end", 0))
        if step.does == "background":
            raise make(step.fault, str(index))

    async def errors(self, index: int, step: Step) -> None:
        """Starlette's outermost layer: answers what reaches it, and lets it go on."""
        relay = Relay()
        inner = index + 1
        status = 500
        if self.chain.steps[inner].kind == "on500":
            status = self.chain.steps[inner].status
            inner += 1
        try:
            await relay.run(self.crossing(inner))
        except Exception:
            if not relay.started:
                await respond(status)
            raise

    async def handler(self, index: int, step: Step) -> None:
        """An exception handler of the app, right around the view."""
        relay = Relay()
        try:
            await relay.run(self.crossing(index + 1))
        except Fault as exc:
            if relay.started:
                raise RuntimeError(
                    "Caught handled exception, but response already started."
                ) from exc
            await respond(step.status)

    async def dependency(self, index: int, step: Step) -> None:
        """FastAPI's, with `yield`: what it gets from the view, no seam sees before it does."""
        known = [sighting.exc for sighting in self.witness.seen]
        try:
            await act(step, str(index), lambda: self.crossing(index + 1), respond)
        except BaseException as exc:
            for earlier in earlier_than(exc):
                if not any(earlier is before for before in known):
                    self.witness.forget(earlier)
            raise

    async def dispatch(self, index: int, step: Step) -> None:
        """`BaseHTTPMiddleware`: the inner response is a value until it is passed on."""

        async def call_next() -> tuple[int, Running | None]:
            inner = self.crossing(index + 1)
            try:
                return inner.send(None)[1], inner
            except Exception as exc:
                # As BaseHTTPMiddleware does, to keep its own streams out of the context.
                raise exc from exc.__cause__ or exc.__context__
            except BaseException as exc:
                failed = exc
            # Out here it has no context, as in the task that waits.
            raise tasks_failed(failed)

        async def answer(status: int) -> tuple[int, Running | None]:
            return status, None

        response = await act(step, str(index), call_next, answer)
        assert response is not None
        status, inner = response
        await say(("start", status))
        if inner is None:
            await say(("end", 0))
            return
        left = await self.body(inner)
        # A body that breaks is ended all the same, and only then the error goes on.
        await say(("end", 0))
        if isinstance(left, Exception):
            raise left
        if left is not None:
            await Relay().run(left)

    @types.coroutine
    def body(self, inner: Running) -> Generator[Message, None, Exception | Running | None]:
        """Pass the inner body on; return what broke it, or what is left to run behind it."""
        while True:
            try:
                kind, _ = inner.send(None)
            except StopIteration:
                return None
            except Exception as exc:
                return exc
            if kind == "end":
                return inner
            yield ("chunk", 0)
