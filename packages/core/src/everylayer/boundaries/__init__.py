"""Where work changes hands: what is needed for an error to come back from there."""
