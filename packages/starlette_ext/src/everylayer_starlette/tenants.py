"""The tenant of a request, set around the outermost seam where an app's settings ask for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from everylayer.boundaries import tenant_source
from everylayer.boundaries.tenant import CURRENT, leave
from everylayer.boundaries.tenant_seams import KEY, enter
from everylayer.boundaries.tenant_source import Policy
from everylayer.chain import drop_frame
from everylayer.settings import Settings

from .classes import REPLACEMENTS, Starlette
from .outermost import OUTERMOST

_CLAIM = "_everylayer_claim"


def policy_of(settings: Settings) -> Policy | None:
    """Return how tenants are found; from the first app on that asks, all calls pass here."""
    policy = tenant_source.policy_of(settings)
    own = vars(Starlette).get("__call__")
    # Where the outermost seam did not fit, the middleware is a layer, and cares for itself.
    if policy is not None and getattr(own, "__code__", None) in OUTERMOST:
        # With what tells how to undo the seam itself: both go at once.
        around = functools.wraps(own)(_choosing(own))  # type: ignore[arg-type]
        REPLACEMENTS.add(around)
        Starlette.__call__ = around  # type: ignore[method-assign]
    return policy


def missed(claim: Any, scope: Any) -> bool:
    """Tell whether a request came in before anybody knew that its tenant is asked for."""
    return claim.tenants is not None and KEY not in scope and scope["type"] != "lifespan"


def _choosing(own: Callable[..., Any]) -> Callable[..., Any]:
    async def __call__(self: Any, scope: Any, receive: Any, send: Any) -> None:
        policy = getattr(self.__dict__.get(_CLAIM), "tenants", None)
        token = None
        if policy is not None and KEY not in scope and scope["type"] != "lifespan":
            token = enter(policy, scope)
            scope[KEY] = CURRENT.get()
        try:
            await own(self, scope, receive, send)
        except BaseException as exc:
            drop_frame(exc)
            raise
        finally:
            if token is not None:
                scope.pop(KEY, None)
                leave(token)

    return __call__
