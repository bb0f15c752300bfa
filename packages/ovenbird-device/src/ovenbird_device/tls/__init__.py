"""The page's certificate: the device's own, made at its first boot, or one that its owner gave it."""
