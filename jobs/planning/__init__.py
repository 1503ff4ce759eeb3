"""What a plan is looked at for before it is a job: its shape, collisions, what it would do, how long it may take."""
