"""HTTP, WebSocket and TLS towards the console: every call through one layer, so that every failure names its hop."""
