"""Every message that both sides speak; docs/protocol.md tells the same in words."""
