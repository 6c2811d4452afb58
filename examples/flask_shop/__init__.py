"""The shop as a Flask app with WSGI layers around it."""
