"""How a new version of a dataset differs from the one that readers see, and whether they may see the new one."""
