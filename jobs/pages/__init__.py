"""The pages of jobs: their history, one of them live, a new one with its plan."""
