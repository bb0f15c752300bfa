"""The device's journal for readers: pages of old lines, and new ones as they come, for many at once."""
