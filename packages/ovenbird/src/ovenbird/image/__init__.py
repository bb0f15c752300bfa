"""What a tree becomes: boot partition, root file system, selector, disk."""
