"""The machinery of `demo.py`: servers, a receiver of spans, cases, a judge and the tables."""
