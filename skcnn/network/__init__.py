"""Layers compiled to a list of steps, and what runs it."""
