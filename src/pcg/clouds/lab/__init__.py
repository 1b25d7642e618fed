"""What both simulated data centers share beside the guests: addresses, DHCP, serving, and the lab's control side."""
