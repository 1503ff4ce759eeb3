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
    "django_celery_beat",
    "console.api",
    "console.audit",
    "console.realtime",
    "console.access",
    "console.notifications",
    "console",
    "hardware.inventory",
    "hardware.inventory.groups",
    "hardware.inventory.compatibility",
    "hardware.bmc",
    "hardware.telemetry",
    "hardware.telemetry.rollups",
    "hardware.telemetry.alerts",
    "jobs.depot",
    "jobs.rollout",
    "jobs.admission",
    "jobs.schedules",
    "jobs.pipelines",
    "jobs.secrets",
    "jobs.approvals",
    "jobs.remedies",
    "jobs",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "console.csp.ContentSecurityPolicy",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "console.api.errors.Problems",
    "console.api.slashes.LastSlash",
    "console.api.unread.NothingIgnored",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Every page wants a session unless it says otherwise; REST views have their own permissions.
    "console.access.ended.SessionRequired",
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
            "ENGINE": "hardware.sqlite",
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
# No result is kept, so beat need not have any cleared away.
CELERY_RESULT_EXPIRES = None
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
# Under which people reach the pages: links in notifications begin with it.
URL = (env.url("CONSOLE_URL", schemes=["http", "https"]) or f"http://{BIND}:{PORT}").rstrip("/")
LEASE_SECONDS = env.integer("CONSOLE_LEASE_SECONDS", 20, low=5, high=600)
RECONCILE_SECONDS = env.integer("CONSOLE_RECONCILE_SECONDS", 5, low=1, high=60)
CELERY_BEAT_SCHEDULE = {
    "reconcile": {"task": "jobs.reconcile", "schedule": RECONCILE_SECONDS},
    # What is due and was not woken for: schedules themselves are in the database.
    "schedules": {"task": "jobs.schedules.sweep", "schedule": RECONCILE_SECONDS},
    "notify": {"task": "console.notify", "schedule": RECONCILE_SECONDS},
    "old-notifications": {"task": "console.notifications.retention", "schedule": 3600},
    "tend-logs": {"task": "jobs.tend_logs", "schedule": 60},
    "retention": {"task": "jobs.retention", "schedule": 600},
    "telemetry-retention": {"task": "telemetry.retention", "schedule": 60},
}
# 0: for ever, as much as there is.
LOG_DAYS = env.integer("CONSOLE_LOG_DAYS", 400, low=0, high=36500)
LOG_BYTES = env.integer("CONSOLE_LOG_BYTES", 20 << 30, low=0, high=1 << 50)
TELEMETRY_INTERVAL = env.integer("CONSOLE_TELEMETRY_INTERVAL", 2, low=1, high=60)
# Days that rollups are kept; 0: for ever.
MINUTES_DAYS = env.integer("CONSOLE_MINUTES_DAYS", 3, low=0, high=3650)
HOURS_DAYS = env.integer("CONSOLE_HOURS_DAYS", 400, low=0, high=3650)
# Classes that know more of a machine than its npu-smi does: ``async read(pool, endpoint, machine_name)`` gives vitals
# by name. The collector, which knows none of them, asks each at its slow pace.
TELEMETRY_SOURCES = ["jobs.rollout.vitals.ServingVitals"]
# Gives the packages of the depot, so that preflight of a machine names the one that would mend it.
PREFLIGHT_STOCK = "jobs.depot.stock.stock"
LINK_PATIENCE_SECONDS = env.integer("CONSOLE_LINK_PATIENCE_SECONDS", 600, low=5, high=86400)
DEPOT_DIR = env.path("CONSOLE_DEPOT", VAR_DIR / "depot")
# Rows that come before those of hardware/inventory/preflight/compatibility/known.toml.
COMPATIBILITY_FILE = env.file("CONSOLE_COMPATIBILITY")
FIELD_KEYS_FILE = env.path("CONSOLE_FIELD_KEYS", VAR_DIR / "keys" / "fields")
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

# The site's mail relay; without one there are no mails. TLS: none, starttls, or tls from the first byte.
EMAIL_HOST = env.text("CONSOLE_SMTP_HOST")
EMAIL_PORT = env.integer("CONSOLE_SMTP_PORT", 25, low=1, high=65535)
EMAIL_HOST_USER = env.text("CONSOLE_SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("CONSOLE_SMTP_PASSWORD")
_mail_tls = env.choice("CONSOLE_SMTP_TLS", "none", ["none", "starttls", "tls"])
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail_tls == "starttls", _mail_tls == "tls"
DEFAULT_FROM_EMAIL = env.text("CONSOLE_MAIL_FROM", "console@localhost")
# Certificate authorities of the site, in PEM, for webhooks; beside the system's.
CA_FILE = env.text("CONSOLE_CA_FILE")
NOTIFICATION_DAYS = env.integer("CONSOLE_NOTIFICATION_DAYS", 30, low=1, high=3650)

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
CSRF_FAILURE_VIEW = "console.access.pages.form_too_old"

LANGUAGES = [("en", _("English")), ("zh-hans", _("Chinese"))]
LANGUAGE_CODE = env.choice("CONSOLE_LANGUAGE", "en", [code for code, _name in LANGUAGES])
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
    # No forms: an object or a list in one of them would be left out, and its default take its place.
    "DEFAULT_PARSER_CLASSES": ["console.api.bodies.WholeJson"],
    "DEFAULT_FILTER_BACKENDS": ["console.api.queries.KnownFilters"],
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
    # What is only written, such as a file, is not among what an answer must have, and vice versa.
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "console.api.schema.problems"],
    "ENUM_NAME_OVERRIDES": {
        "JobStateEnum": "jobs.states.JobState",
        "StepStateEnum": "jobs.states.StepState",
        "RuleSeverityEnum": "hardware.telemetry.alerts.models.Rule.Severity",
        "SelectionStateEnum": "hardware.inventory.groups.api.STATES",
        "MachineStateEnum": "hardware.inventory.models.Machine.State",
        "ApprovalStateEnum": "jobs.approvals.models.Approval.State",
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
