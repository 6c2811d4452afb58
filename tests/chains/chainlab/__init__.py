"""Random chains of layers, run through the real frameworks and judged by a simple model."""
