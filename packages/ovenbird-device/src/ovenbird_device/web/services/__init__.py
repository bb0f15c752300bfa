"""The URLs of services."""
