"""Measurements beside peers: both sides in one run, printed as ratios, for absolute times depend on the day."""
