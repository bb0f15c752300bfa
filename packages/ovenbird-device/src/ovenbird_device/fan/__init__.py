"""A fan's controller: settings, the law, sensors, outputs, and the daemon that joins them.

The law is a pure function and knows of no machine; sensors and outputs are files and lines of the kernel and know of no
law. Only the daemon knows both. What the page shows is `state`, a file that the daemon writes.
"""
