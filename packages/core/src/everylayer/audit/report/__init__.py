"""A report in each form that people and machines read."""
