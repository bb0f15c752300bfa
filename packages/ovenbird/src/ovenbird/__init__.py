"""Ovenbird: turns a folder of stages into a bootable, read-only, self-healing operating system."""

__version__ = "0.1.0"
