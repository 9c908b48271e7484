"""Environments and the data they come with. Nothing here needs JAX."""
