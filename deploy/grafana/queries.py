"""What the panels ask Prometheus; names as OpenTelemetry's Prometheus exporter writes them."""

from __future__ import annotations

_JOB = 'job=~"$job"'
_WINDOW = "[$__rate_interval]"
_SHOWN = "[$__range]"
OBJECTIVE = 0.995
_BUDGET = "0.005"


def _series(metric: str, *matchers: str) -> str:
    return f"everylayer_{metric}{{{', '.join([_JOB, *matchers])}}}"


_LOST = 'everylayer_trace_state!="whole"'
_BROKEN = _series("error_traces_total", _LOST)
_TRACES = _series("error_traces_total")


def _rate(by: str, metric: str, *matchers: str) -> str:
    return f"sum by ({by}) (rate({_series(metric, *matchers)}{_WINDOW}))"


COMPLETENESS = (
    f"1 - (sum(increase({_BROKEN}{_SHOWN})) or vector(0)) / (sum(increase({_TRACES}{_SHOWN})) > 0)"
)
# The job that has least left: one that is calm makes up for no other.
BUDGET_LEFT = f"min(everylayer:error_budget_left:ratio30d{{{_JOB}}})"
FAILING = (
    f"sum(increase({_TRACES}{_SHOWN})) / (sum(increase({_series('requests_total')}{_SHOWN})) > 0)"
)
ALERTS = f'count(ALERTS{{alertname=~"Everylayer.*", alertstate="firing", {_JOB}}}) or vector(0)'
FIRING = f'ALERTS{{alertname=~"Everylayer.*", alertstate="firing", {_JOB}}}'

COMPLETENESS_BY_JOB = f"everylayer:completeness:ratio_rate5m{{{_JOB}}}"
BROKEN_BY_STATE = _rate("everylayer_trace_state", "error_traces_total", _LOST)
_ALL = _series("errors_total", 'everylayer_outcome!="dropped"')
LAYERS = f"sort_desc(topk(10, sum by (job, everylayer_layer_name) (increase({_ALL}{_SHOWN})) > 0))"
OUTCOMES = _rate("everylayer_outcome", "errors_total", 'everylayer_outcome=~"escaped|handled"')
LATE = _rate("job, everylayer_outcome", "errors_total", 'everylayer_outcome=~"late|detached"')
DROPS = _rate("everylayer_drop_reason", "errors_total", 'everylayer_outcome="dropped"')
PLACEMENTS = _rate("everylayer_placement", "error_placements_total")
REDACTIONS = _rate("everylayer_redaction_rule", "redactions_total")
REQUESTS = _rate("job", "requests_total")
FAILURES = f"sum by (everylayer_failure_place) (increase({_series('failures_total')}{_WINDOW})) > 0"
CORE_SHARE = _rate("job", "recording_duration_seconds_sum")


def burn(window: str) -> str:
    """Return how many times faster than allowed the worst job spends its budget."""
    return f"max(everylayer:error_traces_broken:ratio_rate{window}{{{_JOB}}}) / {_BUDGET}"


def duration(quantile: float) -> str:
    """Return what recording takes, in seconds a failing request."""
    return f"histogram_quantile({quantile}, {_rate('le', 'recording_duration_seconds_bucket')})"
