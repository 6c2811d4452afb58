"""The audit: a user's own chain, a fault at each of its seams, and what arrives of it."""
