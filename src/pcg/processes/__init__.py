"""Child processes and the restart policy of Kubernetes."""
