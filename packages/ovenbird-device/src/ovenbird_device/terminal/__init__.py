"""The shell of one user on the device's page; only where the recipe opens it.

    browser --WebSocket--> agent --packets--> ovenbird-terminal@N.service (the user) --pty--> login shell

The agent never starts a program. The steward, which looks at the password itself, connects to a socket that is root's
alone; systemd starts an instance of the service for the connection, and the steward hands its end of it to the agent.
What travels is in `frames`; `relay` runs beside the shell as its user, `opening` in the steward, `ended` after it all.
"""
