"""The fan: its law on a simulated machine, its settings, sensors and outputs on trees of real files, its daemon."""
