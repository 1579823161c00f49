"""Arithmetic only: what to do with each candidate, and how to cut it."""
