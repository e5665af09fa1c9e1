"""One function per task: JSON in, JSON out. DAGs and the command line call these functions and nothing below them.

Imports: torch, transformers, datasets, pandas, scikit-learn and the modules that load one of them (corpus, training,
judging, parts of scoring) are imported at the top of function bodies, and only in this package. Airflow parses every
DAG file again and again, torch and scikit-learn take seconds to import, and no CUDA context may exist before a task has
its own process. Everything else is imported at the top of the file.

Transactions: a job opens its own transactions and holds none open while a model computes. Any job can be killed,
retried or run twice.
"""

import os

# By default torch's threads spin while they wait for each other. Where another process (Airflow) shares the cores, that
# made a training 6 to 16 times slower. OpenMP reads this variable once, when torch is imported; so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
