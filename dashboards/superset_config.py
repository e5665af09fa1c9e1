"""Superset's settings. serve.py names this file in SUPERSET_CONFIG_PATH.

Superset keeps its own data (users, dashboards made by hand) in a SQLite file in SUPERSET_HOME. All that this project
gives it comes from files, so that the file may be lost.
"""

import os
from pathlib import Path

_home = Path(os.environ["SUPERSET_HOME"])

APP_NAME = "Senti"
SECRET_KEY = Path(os.environ["SUPERSET_SECRET_KEY_FILE"]).read_text("utf-8").strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{_home / 'superset.db'}?check_same_thread=false"
# Superset refuses SQLite as a source of data, since whoever may add databases could then open any file. The embedded
# warehouse is a SQLite file of the person who started Superset.
PREVENT_UNSAFE_DB_CONNECTIONS = os.environ.get("SUPERSET_READS_A_FILE") != "yes"
# In memory, because erased texts must not stay on a disk. Labels change once a night.
DATA_CACHE_CONFIG = {"CACHE_TYPE": "SimpleCache", "CACHE_DEFAULT_TIMEOUT": 300, "CACHE_THRESHOLD": 500}
# The browser gets everything from this server: no fonts or maps of others, and not the picture by which Superset counts
# its users.
TALISMAN_CONFIG = {
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "worker-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "object-src": "'none'",
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'"],
        "script-src": ["'self'", "'strict-dynamic'"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    "force_https": False,
    "session_cookie_secure": False,
}
