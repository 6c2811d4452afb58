"""Sentry's events and the spans of OpenTelemetry, each with the ids of the other."""
