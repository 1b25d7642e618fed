"""VMware vCenter behind the contract of `pcg.clouds.base`; start reading in `cloud.py`."""
