"""Every statement the pipeline sends to the database, as SQLAlchemy Core over a ``Connection``.

The caller owns the transaction: ``with reading(engine)`` or ``with writing(engine)`` stands in jobs, nowhere below.
"""
