"""The URLs of logs."""
