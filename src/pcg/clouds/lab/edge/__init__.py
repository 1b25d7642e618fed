"""The data center's edge: what stands between a gateway and the internet, with named faults."""
