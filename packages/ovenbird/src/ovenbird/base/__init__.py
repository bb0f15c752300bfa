"""Where a tree starts: one module a base."""
