"""conf/ + experiments/ + the command line → one checked `Experiment`."""
