"""Where a record goes: a span event, a log event."""
