"""Chains that nobody thought of: each is served with and without everylayer, and judged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cases import CASES
from chainlab.grammar import GRAMMARS, Chain, draw
from chainlab.judge import finish, problems
from contract.telemetry import session
from contract.versions import STREAMS_FAIL_IN_GROUPS

EXAMPLES = 600


@pytest.fixture(scope="module", autouse=True)
def _session() -> Iterator[None]:
    """An empty SDK."""
    with session():
        yield
    finish()


def chains(framework: str) -> st.SearchStrategy[Chain]:
    return st.composite(
        lambda choose: draw(framework, lambda among: choose(st.sampled_from(among)))
    )()


def _known(framework: str) -> None:
    if STREAMS_FAIL_IN_GROUPS and framework in ("starlette", "fastapi"):
        pytest.skip("the model is that of a Starlette which takes errors out of its own groups")


@pytest.mark.parametrize("framework", GRAMMARS)
def test_a_chain_is_recorded_as_the_model_says(framework: str) -> None:
    _known(framework)

    @given(chains(framework))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def holds(chain: Chain) -> None:
        wrong = problems(chain)
        assert not wrong, "\n".join([repr(chain), *wrong])

    holds()


@pytest.mark.parametrize("name", CASES)
def test_what_went_wrong_once(name: str) -> None:
    _known(CASES[name].framework)
    assert problems(CASES[name]) == []
