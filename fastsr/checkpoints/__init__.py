"""Checkpoint files: locate them (sources), read their tensors (reading), match them to a network (layouts).

Nothing here depends on a network. Each method has a table of `layouts.Layout`, one row for each layout of keys that it
can load. Loading never runs code from a file.
"""
