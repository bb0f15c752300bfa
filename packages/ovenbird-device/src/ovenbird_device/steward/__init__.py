"""The steward: the small root-only helper that the agent asks for privileged work, and its client.

The agent faces the network and therefore holds no rights. What needs root is a closed list of actions, each a typed
message over a unix socket that only root and the agent's user may speak to.
"""
