"""Acting for a robot: a policy behind openpi's protocol, and a client of it."""
