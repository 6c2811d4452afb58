"""The shop as a Starlette app."""
