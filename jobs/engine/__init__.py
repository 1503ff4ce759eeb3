"""How a job is carried out: taken under a lease, step by step, taken up again by another worker, never done twice."""
