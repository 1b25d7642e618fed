"""A private cloud that is not there: a data center behind an API, and its driver (`cloud.py`)."""
