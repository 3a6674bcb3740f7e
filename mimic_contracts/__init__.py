"""What passes between the rooms: numpy contracts, rigs and image geometry (and YAML to read them)."""
