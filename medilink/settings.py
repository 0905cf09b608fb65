"""Every setting of every environment, read from environment variables (the names are in .env.example).

Where DATABASE_URL, REDIS_URL or an S3 endpoint is missing, `manage.py` starts an embedded server and puts its
address into the environment before this file is read: `medilink/embedded.py`. This file starts nothing.
"""

import secrets
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
if (BASE_DIR / ".env").is_file():
    env.read_env(BASE_DIR / ".env")

# Embedded servers are for one person on one machine; there the rules for production secrets would only be in the way.
EMBEDDED = env.bool("MEDILINK_EMBEDDED", default=False)
DEBUG = env.bool("DEBUG", default=False)


def _database_url() -> str:
    """DATABASE_URL, or one put together from POSTGRES_*; a host written as a web address is refused with the reason."""
    if url := env.str("DATABASE_URL", default=""):
        return url
    host = env.str("POSTGRES_HOST", default="")
    if not host:
        raise ImproperlyConfigured(
            "No database is configured: set DATABASE_URL or POSTGRES_HOST, or start through manage.py, "
            "which runs an embedded PostgreSQL."
        )
    if host.startswith(("http://", "https://")):
        raise ImproperlyConfigured(
            f"POSTGRES_HOST is {host!r}: a database host is a bare name or address, without http://."
        )
    user = quote(env.str("POSTGRES_USER", default="medilink"), safe="")
    password = quote(env.str("POSTGRES_PASSWORD", default=""), safe="")
    port = env.int("POSTGRES_PORT", default=5432)
    return f"postgres://{user}:{password}@{host}:{port}/{env.str('POSTGRES_DB', default='medilink')}"


def _secret_key() -> str:
    """SECRET_KEY; a fresh one per start is enough for the embedded mode, elsewhere a weak one stops the start."""
    key = env.str("SECRET_KEY", default="")
    if EMBEDDED:
        return key or secrets.token_urlsafe(64)
    if len(key) < 50 or len(set(key)) < 5 or key.startswith("django-insecure-"):
        raise ImproperlyConfigured(
            "SECRET_KEY is missing or weak: give at least 50 random characters, for instance from "
            "`python -c 'import secrets; print(secrets.token_urlsafe(64))'`."
        )
    return key


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if EMBEDDED else [])
if not EMBEDDED and DEBUG:
    raise ImproperlyConfigured("DEBUG is for the embedded mode only: error pages would show patients' data.")
if not EMBEDDED and "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts that this site answers for; '*' is refused.")

if not EMBEDDED and env.bool("DEBUG_FAILPOINTS", default=False):
    raise ImproperlyConfigured("DEBUG_FAILPOINTS is for tests only: it lets a variable kill or stop any process.")

INSTALLED_APPS = [
    "rest_framework_simplejwt.token_blacklist",  # before medilink, which takes its pages out of the admin
    "medilink",
    "clinical",
    "ingestion",
    "analytics",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin.apps.SimpleAdminConfig",  # medilink/urls.py discovers: commands and workers have no pages
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_celery_beat",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
]
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_URLS_REGEX = r"^/api/"
MIDDLEWARE = [
    "medilink.requests.identified",
    "medilink.noting.Noted",
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "medilink.browsers.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "medilink.browsers.Users",
    "medilink.browsers.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "medilink.urls"
WSGI_APPLICATION = "medilink.wsgi.application"

DATABASES = {"default": env.db_url_config(_database_url())}
DATABASES["default"] |= {"CONN_MAX_AGE": 300, "CONN_HEALTH_CHECKS": True}
# A server that vanishes without a word is noticed after half a minute. Sockets of one machine take no notice.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
} | DATABASES["default"].get("OPTIONS", {})
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "clinical.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
AUTHENTICATION_BACKENDS = [
    "medilink.api.throttling.LockOut",
    "clinical.backends.RoleBackend",
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en-gb"
USE_TZ = True
TIME_ZONE = "Africa/Lagos"  # what people see; instants are stored in UTC

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "storages.backends.s3.S3Storage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# The demo serves the packages' own files and needs no collectstatic.
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = EMBEDDED

HTTPS_ONLY = env.bool("HTTPS_ONLY", default=not EMBEDDED)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS_ONLY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS_ONLY else None
SECURE_REDIRECT_EXEMPT = [r"^(health|livez|readyz)$"]  # probes come from inside, in plain HTTP
X_FRAME_OPTIONS = "DENY"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "medilink.api.authentication.Bearer",
        "medilink.api.authentication.BrowserSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["clinical.api.permissions.Allowed"],
    "DEFAULT_RENDERER_CLASSES": ["clinical.api.rendering.JSON", "clinical.api.rendering.People"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "clinical.api.rendering.Negotiation",
    "DEFAULT_FILTER_BACKENDS": ["clinical.api.filters.FilterBackend"],
    "DEFAULT_PAGINATION_CLASS": None,  # clinical/api/lists.py cuts
    "DEFAULT_SCHEMA_CLASS": "medilink.api.schema.AutoSchema",
    "DEFAULT_PARSER_CLASSES": ["medilink.api.parsing.JSONBody"],
    "DEFAULT_THROTTLE_CLASSES": ["medilink.api.throttling.PerUser"],
    "EXCEPTION_HANDLER": "medilink.api.errors.refuse",
    "DEFAULT_METADATA_CLASS": None,  # the schema describes everything
    "COERCE_DECIMAL_TO_STRING": False,
    "URL_FORMAT_OVERRIDE": None,  # clinical/api/rendering.py
}
# How often a user may ask, and how often log-ins may fail; `off` turns either off.
THROTTLE_USER = env.str("THROTTLE_USER", default="600/min")
THROTTLE_LOGIN = env.str("THROTTLE_LOGIN", default="5/15min")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
# Of the web alone (medilink/wsgi.py): a load may take longer.
DB_STATEMENT_TIMEOUT_MS = env.int("DB_STATEMENT_TIMEOUT_MS", default=5000)
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=14),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "SIGNING_KEY": SECRET_KEY,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Medilink",
    "VERSION": "1.0.0",
    "DESCRIPTION": "Facilities, patients, medical records and triage visits of Nigerian health facilities; how their "
    "files were loaded; and what the marts say of them.",
    "COMPONENT_SPLIT_REQUEST": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": ["medilink.api.schema.finish"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
UNFOLD = {
    "SITE_TITLE": "Medilink",
    "SITE_HEADER": "Medilink",
    "SITE_SUBHEADER": "Stewards' desk",
    "SITE_SYMBOL": "monitor_heart",
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["medilink.desk.style_sheet"],
    "DASHBOARD_CALLBACK": "medilink.first_page.first_page",
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(60% .118 184.704)",
            "600": "oklch(51.1% .096 186.391)",
            "700": "oklch(43.7% .078 188.216)",
            "800": "oklch(38.6% .063 188.416)",
            "900": "oklch(32% .05 189)",
            "950": "oklch(27.7% .046 192.524)",
        }
    },
    "SIDEBAR": {"navigation": "medilink.desk.navigation"},
}

# --- Work that runs by itself. Lost workers and redelivery: a task may come twice, the database decides (README).
REDIS_URL = env.str("REDIS_URL", default="")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT = "medilink.broker:Transport"
CELERY_TIMEZONE = "UTC"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_TIME_LIMIT = 6 * 3600
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": CELERY_TASK_TIME_LIMIT + 600}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"

# --- The bucket. Keys absent: the instance's role is used.
S3_BUCKET_NAME = env.str("S3_BUCKET_NAME", default="medilink")
S3_INPUT_PREFIX = env.str("S3_INPUT_PREFIX", default="medical_records/input/")
S3_ARCHIVE_PREFIX = env.str("S3_ARCHIVE_PREFIX", default="medical_records/archive/")
S3_HELD_PREFIX = env.str("S3_HELD_PREFIX", default="medical_records/held/")
S3_CORRECTIONS_PREFIX = env.str("S3_CORRECTIONS_PREFIX", default="medical_records/corrections/")
S3_SEALS_PREFIX = env.str("S3_SEALS_PREFIX", default="medical_records/seals/")  # let nobody delete there
S3_ENDPOINT_URL = env.str("AWS_ENDPOINT_URL_S3", default="") or None
AWS_REGION = env.str("AWS_REGION", default="") or None

INGEST_MAX_BYTES = env.int("INGEST_MAX_BYTES", default=2 * 1024**3)
INGEST_PARENT_WAIT = timedelta(seconds=env.int("INGEST_PARENT_WAIT", default=86_400))
INGEST_WATCH = env.bool("INGEST_WATCH", default=True)

# --- More distinct patients than this in an hour are told of as an alert, of a person and of a program (service).
ENUMERATION_ALARM = env.int("ENUMERATION_ALARM", default=2_000)
ENUMERATION_ALARM_SERVICE = env.int("ENUMERATION_ALARM_SERVICE", default=200_000)

# --- Whom to tell when something went wrong.
ALERT_EMAIL = env.list("ALERT_EMAIL", default=[])
ALERT_WEBHOOK_URL = env.str("ALERT_WEBHOOK_URL", default="")
if ALERT_WEBHOOK_URL and not ALERT_WEBHOOK_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured("ALERT_WEBHOOK_URL must begin with https:// (or http://).")
vars().update(env.email_url("EMAIL_URL", default="consolemail://" if EMBEDDED else "smtp://localhost:25"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="medilink@localhost")
PORT = env.int("PORT", default=5000)
SITE_URL = env.str("SITE_URL", default=f"http://127.0.0.1:{PORT}")  # for links in messages

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} [{request_id}] {message}", "style": "{"}},
    "filters": {"request": {"()": "medilink.requests.RequestFilter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request"]}},
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "botocore": {"level": "WARNING"},
        "boto3": {"level": "WARNING"},
        "s3transfer": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
    },
}
