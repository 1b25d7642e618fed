"""Recorded transcripts of every version of the protocol, replayed against the real server side.

`v<version>/*.json` are data and are never edited once the version is out: a console that no longer answers an old
transcript has broken gateways that are out there. `python -m wire.record` (with tests/ as PYTHONPATH) writes those of
the present version while it is made.
"""
