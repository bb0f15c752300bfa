"""Roots that are not Debian's, made of Debian's files: a small musl system, and one in the manner of Arch Linux with a
signed repository of its own. Kept between runs.
"""
