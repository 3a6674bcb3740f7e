"""The only room that can move a vehicle: safety envelope, modes, actuation adapters, and its node."""
