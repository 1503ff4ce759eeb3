"""The history of jobs: found by any filter, paged, counted up to a bound, exported, and made by the million."""
