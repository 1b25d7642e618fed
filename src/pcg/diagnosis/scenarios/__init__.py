"""One file a scenario; the file's name is its id (with hyphens)."""
