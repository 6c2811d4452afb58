"""Where work changes hands: what fails there is on the trace of its request."""
