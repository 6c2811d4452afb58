"""What errors and layers cost, measured against stock instrumentation."""
