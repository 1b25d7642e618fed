"""A person at a terminal: one file a noun; data on stdout, progress and logs on stderr."""
