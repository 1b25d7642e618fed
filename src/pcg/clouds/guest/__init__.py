"""The simulated machine runner: plays what a guest would do, from what it was given, on any simulated hypervisor."""
