"""The support bundle: what somebody who helps wants to see of a device, in one file, without its secrets."""
