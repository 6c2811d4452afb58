"""The interceptors of the shop with threads."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc

from shop import drill

from . import rules
from .wire import Message, around, asked, sent

logger = logging.getLogger("shop.access")
Continuation = Callable[[Any], Any]


class AccessLog(grpc.ServerInterceptor):
    """One line an RPC, with its duration until the answer, or its first part, is ready."""

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        started = self.open_line(handler_call_details)
        handler = continuation(handler_call_details)
        if handler is None:
            return None

        def wrap(behavior: Any) -> Any:
            def logged(request: Any, context: Any) -> Any:
                answer = behavior(request, context)
                self.write_line(handler_call_details, started)
                return answer

            return logged

        return around(handler, wrap)

    def open_line(self, details: Any) -> float:
        """Return when the RPC came in."""
        drill.check("access_log", sent(details.invocation_metadata, drill.HEADER))
        return time.perf_counter()

    def write_line(self, details: Any, started: float) -> None:
        """Log the RPC."""
        drill.check("access_log.after", sent(details.invocation_metadata, drill.HEADER))
        took = (time.perf_counter() - started) * 1000
        logger.info("%s %.1f ms", details.method, took)


class Recovery(grpc.ServerInterceptor):
    """Turns an error of what is inside it into a status code."""

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        wrap = self.streamed if handler.response_streaming else self.called
        return around(handler, wrap)

    def called(self, behavior: Any) -> Any:
        """Return `behavior` with its error converted."""

        def recovered(request: Any, context: Any) -> Any:
            try:
                return behavior(request, context)
            except Exception as error:
                self.answer(error, context)

        return recovered

    def streamed(self, behavior: Any) -> Any:
        """Return `behavior`, which streams, with its error converted."""

        def recovered(request: Any, context: Any) -> Iterator[Any]:
            try:
                yield from behavior(request, context)
            except Exception as error:
                self.answer(error, context)

        return recovered

    def answer(self, error: Exception, context: Any) -> None:
        """End the RPC, unless it has been ended on purpose."""
        if context.code() is not None:
            raise error
        logger.error("recovered", exc_info=error)
        context.abort(*rules.problem(error, asked(context)))


class Authentication(grpc.ServerInterceptor):
    """Lets in who has a bearer token."""

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        metadata = handler_call_details.invocation_metadata
        who = rules.identify(sent(metadata, "authorization"), sent(metadata, drill.HEADER))
        handler = continuation(handler_call_details)
        if handler is None or who:
            return handler
        return around(handler, lambda _: refuse)


def refuse(request: Any, context: Any) -> None:
    """Answer who is not known."""
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")


class RateLimit(grpc.ServerInterceptor):
    """Lets each caller in so many times."""

    LIMIT = 100_000

    def __init__(self) -> None:
        self._calls = 0

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        return None if handler is None else around(handler, self.limited)

    def limited(self, behavior: Any) -> Any:
        """Return `behavior`, which is called if the limit lets it."""

        def count_call(request: Any, context: Any) -> Any:
            drill.check("limits", asked(context))
            self._calls += 1
            if self._calls > self.LIMIT:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
            return behavior(request, context)

        return count_call


class Validation(grpc.ServerInterceptor):
    """Checks each message on its way in."""

    def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        check = self.each if handler.request_streaming else rules.checked
        return around(handler, functools.partial(self.validated, check))

    def validated(self, check: Callable[[Any], Any], behavior: Any) -> Any:
        """Return `behavior`, which is given what `check` has seen."""

        def valid(request: Any, context: Any) -> Any:
            return behavior(check(request), context)

        return valid

    @staticmethod
    def each(messages: Iterable[Message]) -> Iterator[Message]:
        """Yield `messages`, checked."""
        for message in messages:
            yield rules.checked(message)
