"""The header's text: what goes in comes out, and nothing that comes in raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everylayer.boundaries.error_context import (
    MAX_BYTES,
    MAX_HOPS,
    ErrorContext,
    Hop,
    bounded,
    parse,
    render,
    through,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def hexes(size: int) -> st.SearchStrategy[str]:
    found = st.text("0123456789abcdef", min_size=size, max_size=size)
    return found.filter(lambda text: set(text) != {"0"}) | st.just("")


def hops(longest: int) -> st.SearchStrategy[Hop]:
    texts = st.text(max_size=longest)
    return st.builds(
        Hop,
        st.text(min_size=1, max_size=longest),
        texts,
        texts,
        hexes(32),
        hexes(16),
        st.integers(0, 9999),
        texts,
    )


def contexts(longest: int, most: int) -> st.SearchStrategy[ErrorContext]:
    listed = st.lists(hops(longest), min_size=1, max_size=most).map(tuple)
    return st.builds(ErrorContext, listed, st.integers(0, 9999))


def as_kept(hop: Hop) -> Hop:
    kind, layer, service, message = map(bounded, (hop.type, hop.layer, hop.service, hop.message))
    return hop._replace(type=kind, layer=layer, service=service, message=message)


@given(contexts(longest=8, most=4))
def test_what_is_short_comes_out_as_it_went_in(context: ErrorContext) -> None:
    kept = ErrorContext(tuple(map(as_kept, context.hops)), context.more)
    assert parse(render(context)) == kept


@given(contexts(longest=400, most=12))
def test_what_is_long_keeps_both_ends_and_each_id(context: ErrorContext) -> None:
    value = render(context)
    assert len(value) <= MAX_BYTES
    assert value.isascii()
    assert value.isprintable()
    found = parse(value)
    assert found is not None
    assert found.length == min(context.length, len(found.hops) + 9999)
    first, last = context.hops[0], context.hops[:MAX_HOPS][-1]
    for hop, kept in ((first, found.hops[0]), (last, found.origin)):
        assert (hop.trace_id, hop.span_id, hop.attempt) == (kept[3], kept[4], kept[5])
    assert render(found) == value or len(value) == MAX_BYTES


@given(st.binary(max_size=3000) | st.text(max_size=3000))
def test_arbitrary_bytes_never_raise(value: bytes | str) -> None:
    found = parse(value)
    assert found is None or parse(render(found)) is not None


@given(contexts(longest=8, most=3), st.binary(max_size=40), st.integers(0, 500))
def test_damage_never_raises_and_stays_within_bounds(
    context: ErrorContext, noise: bytes, place: int
) -> None:
    value = render(context).encode()
    damaged = parse(value[:place] + noise + value[place:])
    assert damaged is None or all(len(text) <= 200 for hop in damaged.hops for text in hop[:3])


@given(st.binary(max_size=200))
def test_no_control_character_comes_out(noise: bytes) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in noise) or "%0d%0aset-cookie:"
    found = parse(f"v=1,type={escaped};service={escaped}")
    assert found is not None
    assert found.origin.type.isprintable()
    assert render(found).isprintable()


def test_a_member_that_is_malformed_goes_by_itself() -> None:
    value = f"v=1,type=a.B;trace={TRACE};span={SPAN},nonsense,type=,=;;=,type=\xff,type=c.D;trace=0"
    assert parse(value) == ErrorContext((Hop("a.B", trace_id=TRACE, span_id=SPAN), Hop("c.D")))


@pytest.mark.parametrize(
    "value",
    ["", "v=1", "type=a.B", "v=0,type=a.B", "v=x,type=a.B", "v=1;more=2", ",", "v=1,layer=x"],
)
def test_what_is_none_is_none(value: str) -> None:
    assert parse(value) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    found = parse("v=2;new=1,type=a.B;severity=9;service=s;service=t , type=c.D")
    assert found == ErrorContext((Hop("a.B", service="s"), Hop("c.D")))


def test_of_two_headers_the_first_counts() -> None:
    assert parse("v=1,type=a.B, v=1,type=c.D") == ErrorContext((Hop("a.B"),))


def test_of_one_that_is_too_long_the_whole_members_at_its_beginning_are_kept() -> None:
    cut = parse("v=1,type=a.B,type=c.D;service=" + "s" * 10_000)
    assert cut == ErrorContext((Hop("a.B"),))
    many = parse("v=1,type=a.B" + ",type=c.D" * 1000)
    assert many is not None
    assert len(many.hops) == MAX_HOPS
    assert many.length == 1 + (MAX_BYTES - len("v=1,type=a.B")) // len(",type=c.D")


def test_the_way_is_bounded_and_then_counted() -> None:
    context = None
    for number in range(20):
        context = through(Hop(f"e{number}", service=f"s{number}"), context)
    assert context is not None
    assert [hop.service for hop in context.hops] == ["s19", *(f"s{n}" for n in range(6, -1, -1))]
    assert (context.more, context.length) == (12, 20)
    assert parse(render(context)) == context


def test_the_largest_context_fits_and_keeps_every_id() -> None:
    wide = "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 300
    largest = Hop(wide, wide, wide, TRACE, SPAN, 9999, wide)
    value = render(ErrorContext((largest,) * 8, 9999))
    found = parse(value)
    assert len(value) <= MAX_BYTES
    assert found is not None
    assert len(found.hops) == MAX_HOPS
    assert all(
        (hop.trace_id, hop.span_id, hop.attempt) == (TRACE, SPAN, 9999) for hop in found.hops
    )
    assert all(hop.message.startswith("..") for hop in found.hops)
