"""Weights of networks: where they are, what is in their files, and which network they belong to.

Nothing here knows a network. A method has a list of `formats.Format`, one for each layout of keys that it can load.
Loading never runs code that a file brings along.
"""
