"""Where work changes hands within a process: what fails there is on the trace of its request."""
