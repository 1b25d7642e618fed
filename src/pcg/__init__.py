"""pcg: a private cloud gateway. Start reading at `console/app.py` and `gateway/agent.py`."""

__version__ = "0.1.0"
