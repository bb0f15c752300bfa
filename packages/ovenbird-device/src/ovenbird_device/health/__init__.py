"""Is this system healthy? The judge over a trial: it commits, or it goes back.

Nothing else decides: neither the page nor the network nor whoever sent the update. docs/updates.md tells it for people.
"""
