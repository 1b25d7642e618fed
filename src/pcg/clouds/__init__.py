"""Private clouds behind one small contract (`base.py`), one folder each."""
