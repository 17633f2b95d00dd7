"""The options of PULSE."""

LOSS = "100*L2+0.05*GEOCROSS"
"""The default loss: a sum of named terms with their weights."""
