"""SR3: the time of a step, samplers, and tiles."""
