"""Settings for Django's own suite: SQLite in memory, as its example does, and our test runner."""

from __future__ import annotations

import upstream_arm

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3"},
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
SECRET_KEY = "not a secret"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False
TEST_RUNNER = "upstream_unittest.Runner"

upstream_arm.start()
