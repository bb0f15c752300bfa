"""Growth: the data partition takes the room that the medium has, and the disk gets identifiers of its own."""
