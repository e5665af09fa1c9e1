"""What a notebook or a script uses, through ``import senti_tasks``: models, corpora, trainings and views, with pandas.

It finds the warehouse and the artifact store as the command line does: by the ``SENTI_*`` variables, and by ``.env`` in
the current folder or in SENTI_HOME.
"""
