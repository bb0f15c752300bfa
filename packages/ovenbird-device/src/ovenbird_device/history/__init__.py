"""The last twelve hours of the machine, in memory of fixed size: processor, memory, temperature, disk, network."""
