"""Whether a job may begin now, and if not, what is in its way."""
