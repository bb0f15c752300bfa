"""Boot an image in QEMU, drive it, and test it; without root, with KVM where it works and in software where not."""
