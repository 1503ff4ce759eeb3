"""The log of a job: stored as it comes, read from any position, kept and let go."""
