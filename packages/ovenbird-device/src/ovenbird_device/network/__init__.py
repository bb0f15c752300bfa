"""The network as somebody sets it on the device: a change is tried, and undone by itself unless it is confirmed."""
