"""Files to machines: updates over the network, and what devices are asked and told from the workstation."""
