"""What the versions of the frameworks differ in."""

from __future__ import annotations

from importlib.util import find_spec

# An older Starlette's task group hands on an error of a streamed body within a group.
STREAMS_FAIL_IN_GROUPS = False
if find_spec("starlette") is not None:
    from starlette import responses

    STREAMS_FAIL_IN_GROUPS = not hasattr(responses, "create_collapsing_task_group")
