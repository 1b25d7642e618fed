"""A small true part of the Kubernetes API: what the gateway's steps and the simulated nodes ask of it."""
