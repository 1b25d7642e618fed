"""What becomes of accounts and sessions at the data center's API, as whoever runs it keeps it. Asked by `api.py`."""

from __future__ import annotations


class Door:
    """`turned_away` counts who had the right password and was not let in, `logged_out` who lost a session."""

    def __init__(self) -> None:
        self.account_locked = False
        self.keeps_sessions = True
        """False: whatever logs in is logged out again at once"""
        self.turned_away = 0
        self.logged_out = 0

    def admits(self) -> bool:
        """Somebody with the right password."""
        self.turned_away += self.account_locked
        return not self.account_locked

    def knows_sessions(self) -> bool:
        self.logged_out += not self.keeps_sessions
        return self.keeps_sessions
