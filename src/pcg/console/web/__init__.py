"""The console's pages; begin at `pages.py`."""
