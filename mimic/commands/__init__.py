"""One file per sub-command of `mimic`: add_arguments, then run."""
