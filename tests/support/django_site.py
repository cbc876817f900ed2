"""The settings of Django, of which a process can have one set."""

from __future__ import annotations

import django
from django.conf import settings


def configure_django() -> None:
    """Configure Django for all tests of this process, if that is not done yet."""
    if settings.configured:
        return
    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        },
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        SECRET_KEY="x" * 50,
        USE_TZ=True,
    )
    django.setup()
