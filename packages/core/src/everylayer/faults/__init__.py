"""Faults, put where chosen code of an app starts or returns: for the audit, and for chaos."""
