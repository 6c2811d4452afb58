"""Grafana's colours, by the names that the dashboard uses; darker where they are text on white."""

from __future__ import annotations

PAGE, FRAME, INK, FAINT = "#f4f5f7", "#dcdee3", "#22252b", "#6b7078"
RED = "#d1293d"
LINES = {
    "green": "#5aa64b",
    "yellow": "#e0b400",
    "orange": "#f2832a",
    "red": "#e0364c",
    "blue": "#3d7de0",
    "purple": "#9a63c9",
    "text": INK,
}
TEXTS = {**LINES, "green": "#2f8f2f", "orange": "#d96a0b", "red": RED}
# What a series gets that names no colour, in turn.
CLASSIC = ("#5aa64b", "#e0b400", "#3d7de0", "#f2832a", "#e0364c", "#9a63c9", "#37a2a8", "#8c6d46")
