"""The apps of a recipe: each kind makes a program's folder, `unit.py` says how systemd runs it, `step.py` plans it."""
