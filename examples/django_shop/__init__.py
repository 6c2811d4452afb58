"""The shop as a Django project."""
