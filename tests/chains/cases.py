"""Chains that went wrong once, each as the long run printed it."""

from __future__ import annotations

from chainlab.grammar import Chain, Step

CASES: dict[str, Chain] = {
    "a second attempt translates a second error": Chain(
        "asgi",
        (Step("plain", "retry"), Step("plain", "from"), Step("app", "raise")),
    ),
    "a second attempt fails as the first did before its message was changed": Chain(
        "asgi",
        (
            Step("plain", "retry"),
            Step("plain", "mutate"),
            Step("plain", "retry_in"),
            Step("app", "raise"),
        ),
    ),
    "a stream breaks before its start has crossed three tasks": Chain(
        "starlette",
        (Step("dispatch"), Step("dispatch"), Step("dispatch"), Step("view", "stream")),
    ),
    "a handler answers 200 for what is raised again": Chain(
        "starlette",
        (Step("on500", "answer", status=200), Step("view", "raise")),
        "stock_app",
    ),
    "a layer replaces the 500 that Flask has begun": Chain(
        "flask",
        (Step("wsgi", "swallow"), Step("wsgi", "after"), Step("view", "raise")),
    ),
    "Django makes another group of one that breaks a stream": Chain(
        "django_async", (Step("view", "stream", "group"),)
    ),
    "what leaves the app past a closed seam is no less of an error for a response of 200": Chain(
        "asgi",
        (Step("plain", "after"), Step("plain", "swallow"), Step("app", "stream")),
        "stock",
        entry=1,
    ),
    "what has a handler, too late for a response of it": Chain(
        "starlette",
        (Step("handler", "answer"), Step("view", "stream")),
    ),
    "the same, caught in the view's own wrapper and once more around all": Chain(
        "fastapi",
        (Step("handler", "answer"), Step("view", "stream")),
    ),
}
