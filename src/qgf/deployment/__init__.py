"""Acting for a robot: a policy behind openpi's protocol, a client of it, and what a decision costs."""
