"""The `mimic` command and bring-up: nothing but wiring."""
