"""The dashboard of deploy/grafana, drawn from what a real Prometheus says of two real apps."""
