"""What drives a fan: one module a way, from the kernel's own governor to a bare line. `choose` finds the one to use."""
