"""The whole chain of a handler, outermost first."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.urls import get_resolver

from everylayer.audit.adapter import Chain

from .. import patches
from . import receivers
from .endpoints import endpoints
from .entries import part_of
from .parts import INSTRUMENTATION, Part, gathered, numbered
from .responses import Responses


def chain_of(handler: Any, entries: Iterable[Any], responses: Responses) -> Chain:
    """Return what a request to `handler` passes."""
    parts = receivers.receivers(handler, receivers.STARTED)
    if patches.installed():
        parts.insert(0, Part("everylayer_django", INSTRUMENTATION, seam="in Django's handlers"))
    for entry in entries:
        parts += gathered(functools.partial(part_of, entry), type(entry).__qualname__, "class")
    parts += gathered(functools.partial(_urls, responses), "ROOT_URLCONF", "mount")
    parts += receivers.receivers(handler, receivers.GOT)
    parts += receivers.receivers(handler, receivers.FINISHED)
    return numbered(parts)


def _urls(responses: Responses) -> Iterator[Part]:
    resolver: Any = get_resolver()
    name = str(settings.ROOT_URLCONF)
    views = gathered(functools.partial(endpoints, resolver, responses), name, "mount")
    yield Part(name, "mount", inner=[*views, *receivers.handlers(resolver)])
