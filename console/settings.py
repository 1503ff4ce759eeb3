"""Settings of the console. Everything that a site may change comes from the environment through ``console.env``."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext_lazy as _

from console import env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = env.path("CONSOLE_VAR", BASE_DIR / "var")


def _secret_key() -> str:
    """The key from the environment, else one made at first start and kept with mode 0600."""
    given = env.text("CONSOLE_SECRET_KEY")
    if given:
        return given
    file = VAR_DIR / "keys" / "django"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # "x": two processes that start together agree on the first one's key.
        try:
            with file.open("x") as handle:
                file.chmod(0o600)
                handle.write(secrets.token_urlsafe(50))
        except FileExistsError:
            pass
    return file.read_text()


SECRET_KEY = _secret_key()
DEBUG = env.flag("CONSOLE_DEBUG", False)
ALLOWED_HOSTS = env.names("CONSOLE_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.names("CONSOLE_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "console.api",
    "console.audit",
    "console.realtime",
    "console.access",
    "console",
    "hardware.inventory",
    "hardware.telemetry",
    "jobs.depot",
    "jobs.rollout",
    "jobs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.csp.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every page wants a session unless it says otherwise; REST views have their own permissions.
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "console.preferences.LocalTime",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "console.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.navigation.shell",
            ],
        },
    }
]


# Seconds that a thread keeps its connection.
CONN_MAX_AGE = 60


def _database() -> dict[str, object]:
    address = env.url("DATABASE_URL", schemes=["postgresql", "postgres"])
    if address is None:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": VAR_DIR / "console.sqlite3",
            "CONN_MAX_AGE": CONN_MAX_AGE,
            "OPTIONS": {
                # A write lock from the first statement: a transaction that reads and then writes can't be refused
                # with "database is locked" in the middle, it waits at its start instead.
                "transaction_mode": "IMMEDIATE",
                "timeout": 30,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-16000;",
            },
            "TEST": {"NAME": VAR_DIR / "test.sqlite3"},
        }
    parts = urlsplit(address)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": CONN_MAX_AGE,
        "CONN_HEALTH_CHECKS": True,
    }


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Embedded by default: the supervisor starts a server on this socket when REDIS_URL is not set.
REDIS_SOCKET = VAR_DIR / "redis" / "redis.sock"
REDIS_URL = env.url("REDIS_URL", schemes=["redis", "rediss", "unix"]) or f"unix://{REDIS_SOCKET}"

# The layer on publish/subscribe: the other one keeps its groups in Redis, and a Redis that starts empty again has none.
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            "hosts": [{"address": REDIS_URL, "socket_connect_timeout": 2, "health_check_interval": 15}],
            "prefix": "console",
        },
    }
}

# Celery spells a Redis socket differently from redis-py.
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "machines"
CELERY_TASK_ACKS_LATE = False
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A request must not wait for a Redis that is away: the reconciler wakes workers up in its stead.
CELERY_BROKER_TRANSPORT_OPTIONS = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}

PORT = env.integer("CONSOLE_PORT", 8080, low=1, high=65535)
FLEET_PORT = env.integer("CONSOLE_FLEET_PORT", 2201, low=1024, high=65000)
BIND = env.text("CONSOLE_BIND", "127.0.0.1")
LEASE_SECONDS = env.integer("CONSOLE_LEASE_SECONDS", 20, low=5, high=600)
RECONCILE_SECONDS = env.integer("CONSOLE_RECONCILE_SECONDS", 5, low=1, high=60)
CELERY_BEAT_SCHEDULE = {"reconcile": {"task": "jobs.reconcile", "schedule": RECONCILE_SECONDS}}
LINK_PATIENCE_SECONDS = env.integer("CONSOLE_LINK_PATIENCE_SECONDS", 600, low=5, high=86400)
DEPOT_DIR = env.path("CONSOLE_DEPOT", VAR_DIR / "depot")
FIELD_KEYS_FILE = env.path("CONSOLE_FIELD_KEYS", VAR_DIR / "keys" / "fields")
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

AUTHENTICATION_BACKENDS = ["console.access.backend.PausingBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# Plain HTTP is the embedded default (loopback); a site behind TLS turns this on.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.flag("CONSOLE_TLS", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SESSION_COOKIE_SECURE else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# The page code reads the token from a <meta>; the cookie itself stays out of its reach.
CSRF_COOKIE_HTTPONLY = True

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Chinese"))]
LOCALE_PATHS = [BASE_DIR / "console" / "locale"]
USE_I18N = True
TIME_ZONE = env.text("CONSOLE_TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "console.staticfiles.HashedFiles"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser", "rest_framework.parsers.MultiPartParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "console.api.pagination.NewestFirst",
    "EXCEPTION_HANDLER": "console.api.errors.problem",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kunpeng-Ascend deployment console",
    "DESCRIPTION": "Every button of the console is an endpoint here. Errors are problem details (RFC 9457).",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "jobs.states.JobState",
        "StepStateEnum": "jobs.states.StepState",
        "MachineStateEnum": "hardware.inventory.models.Machine.State",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("CONSOLE_LOG_LEVEL", "INFO")},
    "loggers": {
        "asyncssh": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        # A stack trace a second while Redis is away; console.realtime says it once, in words.
        "channels_redis": {"level": "CRITICAL"},
    },
}
