"""Object detectors trained from scratch: ScratchDet and DSOD, on nothing but your own data."""
