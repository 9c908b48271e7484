"""Training: a flow by cloning and a critic by TD, each alone, into a run directory."""
