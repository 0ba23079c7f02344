"""For all tests: their processes share the cores, so each has one thread."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads torch
