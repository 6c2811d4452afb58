"""A user's project, for type checkers alone: they read it as strictly as they can."""
