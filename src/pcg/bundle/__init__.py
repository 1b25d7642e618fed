"""Log archives: read whatever a machine's logs were packed into, bounded, without writing a file."""
