"""Images to cards, and to files for others' flashers: what is written, onto what, and whose device it becomes.

`cards` tells which disks may be written, `source` what is to be written where, `writing` does it and reads it back,
`settings` and `asking` are what a user says of a device, `handover` puts that onto the card; `job` is all of it.
"""
