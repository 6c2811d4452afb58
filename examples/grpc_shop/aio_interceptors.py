"""The interceptors of the shop with asyncio."""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from shop import drill

from . import rules
from .wire import Message, around, asked, sent

logger = logging.getLogger("shop.access")
Continuation = Callable[[Any], Awaitable[Any]]


class AccessLog(grpc.aio.ServerInterceptor):
    """One line an RPC, with its duration."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        started = self.open_line(handler_call_details)
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        write_line = functools.partial(self.write_line, handler_call_details, started)

        def wrap(behavior: Any) -> Any:
            if inspect.isasyncgenfunction(behavior):

                async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
                    async for message in behavior(request, context):
                        yield message
                    write_line()

                return stream

            async def logged(request: Any, context: Any) -> Any:
                answer = await behavior(request, context)
                write_line()
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


class Recovery(grpc.aio.ServerInterceptor):
    """Turns an error of what is inside it into a status code."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return around(handler, self.streamed if handler.response_streaming else self.called)

    def called(self, behavior: Any) -> Any:
        """Return `behavior` with its error converted."""

        async def recovered(request: Any, context: Any) -> Any:
            try:
                answer = await behavior(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                logger.exception("recovered")
                await context.abort(*rules.problem(error, asked(context)))
            else:
                return answer

        return recovered

    def streamed(self, behavior: Any) -> Any:
        """Return `behavior`, which streams, with its error converted."""

        async def recovered(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for message in behavior(request, context):
                    yield message
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                logger.exception("recovered")
                await context.abort(*rules.problem(error, asked(context)))

        return recovered


class Authentication(grpc.aio.ServerInterceptor):
    """Lets in who has a bearer token."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        metadata = handler_call_details.invocation_metadata
        who = rules.identify(sent(metadata, "authorization"), sent(metadata, drill.HEADER))
        handler = await continuation(handler_call_details)
        if handler is None or who:
            return handler
        return around(handler, lambda _: refuse_stream if handler.response_streaming else refuse)


async def refuse(request: Any, context: Any) -> None:
    """Answer who is not known."""
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a bearer token is needed")


async def refuse_stream(request: Any, context: Any) -> AsyncIterator[Any]:
    """Answer who is not known, where a stream is asked for."""
    await refuse(request, context)
    yield


class RateLimit(grpc.aio.ServerInterceptor):
    """Lets each caller in so many times."""

    LIMIT = 100_000

    def __init__(self) -> None:
        self._calls = 0

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return around(handler, self.streamed if handler.response_streaming else self.called)

    def called(self, behavior: Any) -> Any:
        """Return `behavior`, which is called if the limit lets it."""

        async def limited(request: Any, context: Any) -> Any:
            await self.count_call(context)
            return await behavior(request, context)

        return limited

    def streamed(self, behavior: Any) -> Any:
        """Return `behavior`, which streams if the limit lets it."""

        async def limited(request: Any, context: Any) -> AsyncIterator[Any]:
            await self.count_call(context)
            async for message in behavior(request, context):
                yield message

        return limited

    async def count_call(self, context: Any) -> None:
        """Charge the call to the limit."""
        drill.check("limits", asked(context))
        self._calls += 1
        if self._calls > self.LIMIT:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")


class Validation(grpc.aio.ServerInterceptor):
    """Checks each message on its way in."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        check = self.each if handler.request_streaming else rules.checked
        wrap = self.streamed if handler.response_streaming else self.called
        return around(handler, functools.partial(wrap, check))

    def called(self, check: Callable[[Any], Any], behavior: Any) -> Any:
        """Return `behavior`, which is given what `check` has seen."""

        async def valid(request: Any, context: Any) -> Any:
            return await behavior(check(request), context)

        return valid

    def streamed(self, check: Callable[[Any], Any], behavior: Any) -> Any:
        """Return `behavior`, which streams and is given what `check` has seen."""

        async def valid(request: Any, context: Any) -> AsyncIterator[Any]:
            async for message in behavior(check(request), context):
                yield message

        return valid

    @staticmethod
    async def each(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
        """Yield `messages`, checked."""
        async for message in messages:
            yield rules.checked(message)
