"""marimo, serving one notebook."""

from pathlib import Path

import marimo

notebook = Path("notebook.py")
notebook.write_text("import marimo\napp = marimo.App()\n")
app = marimo.create_asgi_app().with_app(path="", root=str(notebook)).build()
