"""Bundles and the keys that sign them."""
