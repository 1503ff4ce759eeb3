"""What flows through a model when it runs: captured, watched, and made into the ranges that int8-static rounds to."""
