"""The device page in a real Chromium."""
