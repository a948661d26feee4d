"""Layers compiled to a list of nodes, and what runs it."""
