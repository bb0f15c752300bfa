"""`ovenbird dev` on the device: another program in place of an app's, for as long as somebody works on it."""
