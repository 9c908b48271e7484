"""Words that data, environments and networks share."""

STATE = "state"
"""What an observation with pictures calls the numbers beside them."""
LOOKS = "looks"
"""What encoders made of its pictures, in an observation that they have looked at already."""
FEATURES = "observation.features"
"""What a LeRobotDataset calls the numbers that a policy made of an observation (`qgf features`)."""
STATES = ("observation.state", "observation.environment_state", FEATURES)
"""The columns of a LeRobotDataset that are observations if none are named, those that are there, in this order."""
