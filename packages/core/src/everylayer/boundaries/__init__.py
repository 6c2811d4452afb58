"""Where work changes hands: what must not be lost on the way."""
