"""Peers, for real: what their tools make of our files, and we of theirs."""
