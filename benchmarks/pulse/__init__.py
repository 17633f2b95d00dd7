"""PULSE: the time of a step, faces, and images outside the domain of weights for faces."""
