"""Chaos begins where whoever starts the process has said so, and never in production."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from everylayer import settings
from everylayer.chaos import Chaos, ChaosRefused, Rule, start
from everylayer.chaos.permit import ALLOWED, VARIABLE, check, is_live


@pytest.mark.parametrize("declared", [*ALLOWED, " Staging "])
def test_it_begins_where_it_was_declared(declared: str) -> None:
    check({VARIABLE: declared})
    check({VARIABLE: declared, "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=staging"})


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}, {VARIABLE: "  "}])
def test_silence_is_refused_with_the_remedy(environ: dict[str, str]) -> None:
    with pytest.raises(ChaosRefused, match=f"start the process with {VARIABLE}=staging"):
        check(environ)


@pytest.mark.parametrize("declared", ["production", "prod", "true", "1"])
def test_any_other_word_is_refused(declared: str) -> None:
    with pytest.raises(ChaosRefused, match=f"is '{declared}'; it must be one of staging"):
        check({VARIABLE: declared})


@pytest.mark.parametrize("name", ["deployment.environment.name", "deployment.environment"])
@pytest.mark.parametrize("value", ["production", "Prod", "eu-prod2", "live", "prod%20eu"])
def test_a_resource_of_production_is_refused(name: str, value: str) -> None:
    attributes = f"service.name=shop, {name}={value}"
    with pytest.raises(ChaosRefused, match="Correct whichever is wrong"):
        check({VARIABLE: "staging", "OTEL_RESOURCE_ATTRIBUTES": attributes})


def test_a_provider_of_production_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = TracerProvider(resource=Resource({"deployment.environment.name": "production"}))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made)
    with pytest.raises(ChaosRefused, match="the tracer provider's resource says"):
        check({VARIABLE: "staging"})


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("production", True),
        ("us-east-prod-3", True),
        ("PRD", True),
        ("live2", True),
        ("staging", False),
        ("preprod", False),
        ("pre-prod", False),
        ("non-production", False),
        ("product-search-test", False),
        ("", False),
    ],
)
def test_which_names_are_for_real_users(name: str, live: bool) -> None:
    assert is_live(name) is live


def test_the_settings_cannot_declare_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.configure(chaos="chaos.toml")
    with pytest.raises(ChaosRefused, match=VARIABLE):
        start(object())
    with pytest.raises(ChaosRefused, match=VARIABLE):
        start(object(), Chaos((Rule(),)))
