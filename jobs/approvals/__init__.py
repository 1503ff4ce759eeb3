"""Four eyes: a job that a rule concerns is a proposal until another person has approved its plan."""
