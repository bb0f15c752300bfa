"""The device in numbers for Prometheus."""
