"""The console over HTTP: the REST API for people and scripts, and what gateways use."""
