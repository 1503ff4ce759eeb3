"""Parameters that a kind declares secret, on their way to the run that needs them, and out of everything else."""
