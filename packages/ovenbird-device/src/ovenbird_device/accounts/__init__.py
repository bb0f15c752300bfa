"""Who can log in to the device, and the SSH keys that were given on the device itself."""
