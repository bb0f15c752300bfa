"""The device's HTTP face: one set of URLs, HTML for browsers and JSON for programs. No logic lives here."""
