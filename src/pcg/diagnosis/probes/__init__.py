"""One file a probe: each asks one thing of the network or of this machine, and always answers within its time."""
