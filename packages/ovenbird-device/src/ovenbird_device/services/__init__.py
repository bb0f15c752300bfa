"""What the device runs: the user's apps first, then the system's units; how each is, and its start and stop."""
