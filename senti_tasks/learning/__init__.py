"""Labelled reviews in, a judged model out. Gets folders and plain values; knows neither the warehouse nor settings."""

import os

# torch's threads spin while they wait for each other. Where another process shares the cores (Airflow's do), that made
# a training 6 to 16 times slower. OpenMP reads this once, when torch is imported, so it cannot wait for a function.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
