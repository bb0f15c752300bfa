"""What only rescue does: give a device back a fresh `/etc`, or a fresh data partition."""
