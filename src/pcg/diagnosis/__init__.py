"""Evidence in, findings out: pure functions over observed facts."""
