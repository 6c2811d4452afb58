"""Settings of the Django shop, with everylayer."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "for the examples only")
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
ROOT_URLCONF = "django_shop.urls"
WSGI_APPLICATION = "django_shop.wsgi.application"
INSTALLED_APPS = ["corsheaders", "django_shop"]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
STATIC_URL = "/static/"
STATIC_ROOT = os.environ.get("SHOP_STATIC_ROOT", str(HERE / "static"))
CORS_ALLOWED_ORIGINS = ["https://shop.example"]
CORS_URLS_REGEX = r"^/(orders|stock)/.*$"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
    }
]

MIDDLEWARE = [
    "everylayer_django.EveryLayerMiddleware",  # the one line
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django_shop.middleware.AccessLogMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django_shop.middleware.RecoveryMiddleware",
    "django_shop.middleware.RateLimitMiddleware",
    "django_shop.middleware.AuthenticationMiddleware",
    "django_shop.middleware.tenant_middleware",
]
