"""The two slots of the running device: where they lie, what is in them, which one boots next."""
