"""Another key for the logins of machines, one machine at a time safe."""
