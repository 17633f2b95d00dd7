"""What the methods that are trained share: settings, the loop, and a folder in which a run can go on after any end.

All that is random in a step depends on the seed and the number of the step alone, so the position in the data and the
state of the random numbers of a run are one number. A method brings a `method.Training`.
"""
