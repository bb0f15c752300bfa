"""First boot of a flashed card: the device becomes who its personal file says it is (see `format/personal.py`)."""
