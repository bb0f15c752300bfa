"""Updates over HTTP: the page and its JSON on port 80, SWUpdate's own interface on port 8080.

Every way in ends in the same `intake`, which hands the bytes to the steward; nothing here looks into a bundle.
"""
