"""OGBench: its names, its goals, and the scripted oracles that collect its data."""
