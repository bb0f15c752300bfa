"""What a device gets at its first boot and an image never holds: its password, and how its console greets people."""
