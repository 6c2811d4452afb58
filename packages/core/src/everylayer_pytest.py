"""The pytest plugin `everylayer`: the options, the fixtures and the items of an audit.

Every run of pytest where everylayer is installed loads this module, so it stands beside the
package and imports nothing of it until a test asks for something.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from everylayer.testing import ErrorSpans
    from everylayer.testing.audits import Auditor
    from everylayer.testing.items import SessionAudit

_OLDEST = (7, 0)
_ATTRIBUTE = "_everylayer_audit"
_MARKER = "everylayer_audit: a fault put into one layer of the app (--everylayer-audit)"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("everylayer", "errors of middleware on spans")
    group.addoption(
        "--everylayer-audit",
        metavar="TARGET",
        help="Make each layer of this app fail, one test a fault: module:app, module:create_app(), "
        "a Django settings module, or the folder of a manage.py.",
    )
    # Without a type: `string` is newer than pytest 7.0.
    parser.addini("everylayer_audit", "TARGET of runs that name no files or folders.", default="")
    parser.addini("everylayer_audit_path", "What the audit asks for.", default="/")
    parser.addini("everylayer_audit_method", "And how.", default="GET")
    parser.addini("everylayer_audit_headers", "Name: value, one a line.", type="linelist")
    parser.addini("everylayer_audit_factory", "TARGET is a function to call.", type="bool")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Plan the audit: before xdist starts its workers, which are told of it."""
    config = session.config
    given = getattr(config, "workerinput", None)
    target = _target(config)
    if not (target if given is None else _ATTRIBUTE in given):
        return
    missing = _missing()
    if missing:
        raise pytest.UsageError(f"--everylayer-audit needs {missing}")
    from everylayer.testing.items import SessionAudit, wanted_by

    if given is not None:
        audit = SessionAudit.of_worker(given[_ATTRIBUTE])
    else:
        wanted = wanted_by(
            target,
            path=config.getini("everylayer_audit_path"),
            method=config.getini("everylayer_audit_method"),
            headers=config.getini("everylayer_audit_headers"),
            factory=config.getini("everylayer_audit_factory"),
        )
        audit = SessionAudit.planned(wanted)
        config.add_cleanup(audit.remove)
    setattr(config, _ATTRIBUTE, audit)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    audit = _audit_of(node.config)
    if audit is not None:
        node.workerinput[_ATTRIBUTE] = audit.to_worker()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    # First of all: -k, -m and --lf choose among these too.
    audit = _audit_of(config)
    if audit is not None:
        items.extend(audit.items(session))


@pytest.fixture
def error_spans() -> Iterator[ErrorSpans]:
    """The spans that the test makes, in memory, with assertions on the errors they carry."""
    _need("error_spans")
    from everylayer.testing.spans import error_spans as make

    yield from make()


@pytest.fixture(scope="session")
def everylayer_audit() -> Auditor:
    """A function that audits an app: everylayer_audit("shop.asgi:app", path="/orders/7").ok."""
    _need("everylayer_audit")
    from everylayer.testing.audits import Auditor

    return Auditor()


def _audit_of(config: pytest.Config) -> SessionAudit | None:
    audit: SessionAudit | None = getattr(config, _ATTRIBUTE, None)
    return audit


def _target(config: pytest.Config) -> str:
    given = config.getoption("everylayer_audit")
    if given is not None:
        return str(given)
    # Who names a file wants its tests alone. Before 7.2 pytest does not tell.
    source = getattr(config, "args_source", None)
    named = source is not None and source.name == "ARGS"
    return "" if named else str(config.getini("everylayer_audit"))


def _missing() -> str:
    """Return what is not there, "" if all is."""
    if pytest.version_tuple < _OLDEST if hasattr(pytest, "version_tuple") else True:
        return f"pytest 7 or newer, and this is {pytest.__version__}: pip install -U pytest"
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        return "opentelemetry-sdk: pip install 'everylayer[pytest]'"
    return ""


def _need(name: str) -> None:
    __tracebackhide__ = True
    missing = _missing()
    if missing:
        pytest.fail(f"{name} needs {missing}", pytrace=False)
