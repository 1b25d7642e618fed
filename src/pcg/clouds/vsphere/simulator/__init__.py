"""A vCenter to try the gateway on: our Go program over VMware's own simulator (`vcenter/`), built and started here."""
