"""The scheduler beside simpler ones: the same jobs on the same devices, on a virtual clock."""
