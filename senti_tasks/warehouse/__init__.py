"""Every statement the pipeline sends to the database, as SQLAlchemy Core over a ``Connection``.

The caller owns the transaction: jobs open it with ``reading(engine)`` or ``writing(engine)``; no function here does.
"""
