"""Recorded drives in, training data and honest scores out; no torch here."""
