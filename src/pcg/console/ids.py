"""What an id of the console can look like, asked before the store is: PostgreSQL takes no NUL, so a path with one in it
would be answered as a store that is away. Called by `accounts.py`, `user_changes.py` and `reports.py`.
"""

from __future__ import annotations

import re

_ID = re.compile(r"[0-9a-f-]{36}")


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None
