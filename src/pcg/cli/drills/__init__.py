"""The drills, one file a scenario, named as it: `DRILLS` says how each of its causes is caused (docs/diagnosis.md)."""
