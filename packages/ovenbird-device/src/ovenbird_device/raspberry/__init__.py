"""What only a Raspberry Pi has: a boot loader that tells about itself, and a flag that it forgets by itself."""
