"""The built-in simulator: course, renderer, ego, expert driver, closed-loop evaluation, and its node."""
