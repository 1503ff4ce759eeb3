"""Saved groups: a name for some machines, or for whichever machines pass some filters at the time."""
