"""NIQE, the distance of a picture's statistics from those of good photographs (Mittal et al., 2013)."""
