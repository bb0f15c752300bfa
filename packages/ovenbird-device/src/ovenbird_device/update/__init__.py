"""Updates on the device: a bundle's signature, its way into the other slot."""
