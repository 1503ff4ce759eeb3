"""One module a pipeline."""
