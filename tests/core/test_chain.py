"""Causes, contexts and group members: bounded, each object once, cycles survived."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.faults import FAULTS, HostileAttributesError, LyingClassError
from everylayer import chain

needs_groups = pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")


@st.composite
def tangles(draw: st.DrawFn) -> BaseException:
    """Exceptions linked at random: chains, cycles, hidden contexts, groups."""
    made: list[BaseException] = [ValueError(i) for i in range(draw(st.integers(1, 12)))]
    if sys.version_info >= (3, 11):
        for _ in range(draw(st.integers(0, 3))):
            members = draw(st.lists(st.sampled_from(made), min_size=1, max_size=4))
            made.append(BaseExceptionGroup("group", members))
    some = st.none() | st.sampled_from(made)
    for exc in made:
        exc.__context__ = draw(some)
        exc.__cause__ = draw(some)
        exc.__suppress_context__ = draw(st.booleans())
    return draw(st.sampled_from(made))


def reachable(exc: BaseException) -> set[int]:
    found: set[int] = set()
    queue = [exc]
    while queue:
        current = queue.pop()
        if id(current) in found:
            continue
        found.add(id(current))
        if current.__cause__ is not None:
            queue.append(current.__cause__)
        elif current.__context__ is not None and not current.__suppress_context__:
            queue.append(current.__context__)
        queue.extend(getattr(current, "exceptions", ()))
    return found - {id(exc)}


@given(tangles())
def test_links_are_what_a_traceback_shows_each_once(exc: BaseException) -> None:
    found = [id(link.exc) for link in chain.links(exc)]
    assert len(found) == len(set(found))
    assert set(found) == reachable(exc)


@given(tangles(), st.integers(0, 5))
def test_links_are_bounded_and_nearest_first(exc: BaseException, limit: int) -> None:
    everything = list(chain.links(exc))
    assert list(chain.links(exc, limit=limit)) == everything[:limit]


@given(tangles(), st.integers(0, 5))
def test_ancestors_are_bounded_and_each_once(exc: BaseException, limit: int) -> None:
    found = [id(earlier) for earlier in chain.ancestors(exc)]
    assert len(found) == len(set(found))
    assert id(exc) not in found
    assert len(list(chain.ancestors(exc, limit=limit))) == min(limit, len(found))


def test_a_cause_hides_the_context_but_not_from_ancestors() -> None:
    cause, context, error = KeyError("cause"), LookupError("context"), ValueError("error")
    error.__cause__, error.__context__ = cause, context
    assert list(chain.links(error)) == [("cause", cause)]
    assert set(chain.ancestors(error)) == {cause, context}


def test_from_none_hides_the_context_but_not_from_ancestors() -> None:
    error = ValueError("error")
    error.__context__ = context = LookupError("context")
    assert list(chain.links(error)) == [("context", context)]
    error.__suppress_context__ = True
    assert list(chain.links(error)) == []
    assert list(chain.ancestors(error)) == [context]


@needs_groups
def test_members_of_a_group_are_links() -> None:
    left, right = KeyError("left"), ValueError("right")
    right.__cause__ = deep = OSError("deep")
    group = ExceptionGroup("both", [left, right])
    assert chain.is_group(group)
    assert chain.members(group) == (left, right)
    assert list(chain.links(group)) == [("member", left), ("member", right), ("cause", deep)]


def test_a_plain_exception_has_no_members() -> None:
    assert not chain.is_group(ValueError())
    assert chain.members(ValueError()) == ()


def test_a_chain_of_twenty_thousand_is_cut() -> None:
    first = error = ValueError(0)
    for number in range(1, 20_000):
        error.__context__ = ValueError(number)
        error = error.__context__
    assert len(list(chain.links(first))) == chain.MAX_LINKS
    assert len(list(chain.ancestors(first))) == chain.MAX_LINKS
    while first.__context__ is not None:  # a chain this long must not be freed recursively
        first.__context__ = first.__context__.__context__


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_fault_can_stop_the_walk(fault: object) -> None:
    exc = fault.make()  # type: ignore[attr-defined]
    assert len(list(chain.links(exc))) <= 3
    assert len(list(chain.ancestors(exc))) <= 3


def caught(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as found:
        return found


@pytest.mark.parametrize("kind", [ValueError, LyingClassError, HostileAttributesError])
def test_the_traceback_is_read_past_the_class(kind: type[BaseException]) -> None:
    tb = chain.traceback_of(caught(kind("x")))
    assert tb.tb_frame.f_code.co_name == "caught"
    assert chain.traceback_of(kind("never raised")) is None


@pytest.mark.skipif(sys.version_info < (3, 11), reason="3.10 restores the frame")
@pytest.mark.parametrize("kind", [ValueError, LyingClassError, HostileAttributesError])
def test_a_seam_drops_its_own_frame(kind: type[BaseException]) -> None:
    def seam() -> None:
        try:
            caught.__code__  # noqa: B018
            raise_it()
        except BaseException as exc:
            chain.drop_frame(exc)
            raise

    def raise_it() -> None:
        raise kind("x")

    try:
        seam()
    except BaseException as exc:
        tb = chain.traceback_of(exc)
        names = []
        while tb is not None:
            names.append(tb.tb_frame.f_code.co_name)
            tb = tb.tb_next
    assert names == ["test_a_seam_drops_its_own_frame", "raise_it"]


def test_dropping_the_frame_of_an_unraised_exception_does_nothing() -> None:
    chain.drop_frame(ValueError("never raised"))


def test_who_raised_is_the_innermost_frame() -> None:
    with pytest.raises(ValueError, match="no number") as caught:
        json.loads("{}", object_hook=lambda found: int("no number"))
    assert chain.raised_in(caught.value, __name__)
    assert not chain.raised_in(caught.value, "json")
    with pytest.raises(json.JSONDecodeError) as decoding:
        json.loads("}")
    assert chain.raised_in(decoding.value, "json")
    assert chain.raised_in(decoding.value, "json.decoder")
    assert not chain.raised_in(decoding.value, "json.dec")
    assert not chain.raised_in(ValueError("never raised"), "json")
