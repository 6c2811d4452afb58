"""How an error becomes text: the standard library's words at a fraction of its price."""
