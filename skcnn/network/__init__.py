"""Compiles layers to a list of nodes, and runs it."""
