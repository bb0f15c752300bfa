"""The device package: its facts, its doors, its steward, its growth; the agent always the real process."""
