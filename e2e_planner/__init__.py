"""The learned planner: network, targets, loss, training, the policy at run time, and its node."""
