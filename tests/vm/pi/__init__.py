"""Cards of a Raspberry Pi without the hardware: a model of its firmware reads them, QEMU starts what it has read."""
