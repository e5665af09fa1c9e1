"""What all tables share: one collection, the names of constraints, and types."""

import sqlalchemy as sa
from sqlalchemy import MetaData

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

TextHash = sa.String(32)
Counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
