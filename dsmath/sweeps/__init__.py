"""Sweeps: their folders, what their points share, where the units run, and how they stand."""
