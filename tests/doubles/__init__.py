"""Doubles of what cannot run inside a test, named so."""
