"""Jobs that need other jobs, and pipelines of them."""
