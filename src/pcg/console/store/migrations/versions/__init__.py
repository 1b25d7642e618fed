"""How the console's tables came to be, step by step; run at every start by `store/database.py`."""
