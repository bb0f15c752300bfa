"""What runs on an Ovenbird device. Never imports the workstation package; its formats are shared with it."""
