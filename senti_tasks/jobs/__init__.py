"""One function per task: JSON in, JSON out. DAGs and the command line call these and nothing below them.

What computes is imported inside the functions, at the top of their bodies, here and nowhere else: torch, pandas and the
rooms corpus, training and judging, and of scoring what loads torch. Airflow reads every DAG file all day long, torch
and scikit-learn take seconds to import, and a CUDA context must not exist before a task's own process. Everything else
is imported at the top of the file. A job opens its transactions itself, holds none while a model computes, and can be
killed, retried or run twice.
"""

import os

# torch's threads spin while they wait for each other. Where another process shares the cores (Airflow's do), that made
# a training 6 to 16 times slower. OpenMP reads this once, when torch is imported, so it has to be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
