"""What changed on a machine: its readings, each kept once however often it was read, and the difference of any two."""
