"""The ten steps of provisioning, one file each; `order.py` tells the whole story on one screen."""
