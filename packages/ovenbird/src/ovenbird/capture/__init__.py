"""A machine that somebody set up by hand, taken as a tree: over SSH, or out of a disk image that is never mounted."""
