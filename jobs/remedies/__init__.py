"""An alert's remedy as a job: its plan, its launch, and what became of it.

A rule names a kind of job and parameters; ``services`` fills in what is known of the alert. Nothing is run by itself:
a person, or a client over REST, looks at the plan and launches it, and the job is linked to the alert.
"""
