"""Isso with a database in the working directory."""

from isso import config, make_app

conf = config.load(config.default_file())
conf.set("general", "dbpath", "comments.db")
conf.set("general", "host", "http://localhost/")
app = make_app(conf)
