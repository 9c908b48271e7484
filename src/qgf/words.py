"""Words that data, environments and networks share."""

STATE = "state"
"""What an observation with pictures calls the numbers beside them."""
LOOKS = "looks"
"""What encoders made of its pictures, in an observation that they have looked at already."""
