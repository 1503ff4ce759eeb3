"""What a step can do, on a machine, on the console or on a machine's board, and how each is taken up again."""
