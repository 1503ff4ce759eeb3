"""Jobs that are launched by the clock: what, when, and what became of each time."""
