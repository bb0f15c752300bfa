"""What the device can tell about itself: read from /proc, /sys, netlink and its own boot notes, never guessed."""
