"""The vendor's software on a machine, as several kinds need to know it."""
