"""Every setting of every environment, read from environment variables (the names are in .env.example).

Where DATABASE_URL, REDIS_URL or an S3 endpoint is missing, `manage.py` starts an embedded server and puts its
address into the environment before this file is read: `medilink/embedded.py`. This file starts nothing.
"""

import base64
import binascii
import re
import secrets
from datetime import time, timedelta
from pathlib import Path
from urllib.parse import quote

import environ
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse_lazy

from medilink.weaknesses import is_near, weaknesses

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


def _hours(name: str) -> tuple[time, time] | None:
    """`21:00-06:00` as two times of the day."""
    text = env.str(name, default="").strip()
    if not text:
        return None
    try:
        begin, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be two times of the day, such as 21:00-06:00.") from None
    return begin, end


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


def _data_keys() -> dict[str, bytes]:
    """DATA_KEYS, `id:key,older:key`: the first seals (clinical/sealing.py). Losing one loses what it has sealed."""
    text = env.str("DATA_KEYS", default="")
    if EMBEDDED and not text:
        return {"embedded": secrets.token_bytes(32)}
    keys: dict[str, bytes] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not re.fullmatch("[a-z0-9_-]{1,32}", key_id) or key_id in keys or len(key) != 32 or len(set(key)) < 8:
            raise ImproperlyConfigured(
                "DATA_KEYS is not `id:key,older:key`: each id once, of small letters, digits, - and _, "
                "each key 32 random bytes in base64."
            )
        keys[key_id] = key
    if not keys:
        raise ImproperlyConfigured(
            "DATA_KEYS is missing: refused rows and second factors are stored sealed with it. Make one with `python -c "
            "'import base64, os; print(\"first:\" + base64.b64encode(os.urandom(32)).decode())'` "
            "and keep a copy apart from the backups."
        )
    return keys


SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])  # former ones; what they have signed still holds
DATA_KEYS = _data_keys()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if EMBEDDED else [])
HTTPS_ONLY = env.bool("HTTPS_ONLY", default=not EMBEDDED)

# Written into the database by its first migration; invented patients are refused where it says production.
ENVIRONMENT = env.str("MEDILINK_ENV", default="production" if HTTPS_ONLY else "development")
if ENVIRONMENT not in ("production", "staging", "development"):
    raise ImproperlyConfigured(f"MEDILINK_ENV is {ENVIRONMENT!r}; it is production, staging or development.")

if not EMBEDDED and env.bool("DEBUG_FAILPOINTS", default=False):
    raise ImproperlyConfigured("DEBUG_FAILPOINTS is for tests only: it lets a variable kill or stop any process.")

INSTALLED_APPS = [
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
    "medilink.monitoring.web.watched",
    "medilink.requests.identified",
    "medilink.headers.guarded",
    "medilink.noting.Noted",
    *(["corsheaders.middleware.CorsMiddleware"] if CORS_ALLOWED_ORIGINS else []),
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "medilink.browsers.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "medilink.browsers.Users",
    "medilink.browsers.Messages",
    "medilink.limits.Limits",
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

# As whom the web connects (medilink/wsgi.py): a role that owns nothing and that row-level security binds.
DATABASE_WEB_URL = env.str("DATABASE_WEB_URL", default="")
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
if HTTPS_ONLY and not is_near(DATABASES["default"]["HOST"]):
    DATABASES["default"]["OPTIONS"].setdefault("sslmode", env.str("PGSSLMODE", default="require"))
# Where figures are read from (clinical/replica.py): as the web's role, from a server that is seconds behind at most.
if replica_url := env.str("DATABASE_REPLICA_URL", default=""):
    DATABASES["replica"] = DATABASES["default"] | {"TEST": {"MIRROR": "default"}} | env.db_url_config(replica_url)
    DATABASES["replica"]["OPTIONS"] = (
        DATABASES["default"]["OPTIONS"] | {"connect_timeout": 2} | env.db_url_config(replica_url).get("OPTIONS", {})
    )
    if HTTPS_ONLY and not is_near(DATABASES["replica"]["HOST"]):
        DATABASES["replica"]["OPTIONS"].setdefault("sslmode", env.str("PGSSLMODE", default="require"))
DATABASE_REPLICA_LAG = env.int("DATABASE_REPLICA_LAG", default=30)  # seconds; further behind it is not read
DATABASE_ROUTERS = ["medilink.router.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "clinical.User"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
AUTHENTICATION_BACKENDS = ["clinical.backends.RoleBackend"]
# Whoever may enter the desk has a second factor. The demo, on one person's machine, is entered with a password.
REQUIRE_TOTP = env.bool("REQUIRE_TOTP", default=not EMBEDDED)
SESSION_ENGINE = "medilink.sealed_sessions"
# A cookie would hold what is told, and that may name a patient.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())  # as clinical/sessions.py
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

SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
if HTTPS_ONLY:  # browsers take such a cookie from this very host alone, in HTTPS
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS_ONLY
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS_ONLY else None
SECURE_REDIRECT_EXEMPT = [r"^(health|livez|readyz)$"]  # probes come from inside, in plain HTTP
# How many proxies of our own stand before the site: each one's X-Forwarded-For is believed, and no other.
NUM_PROXIES = env.int("NUM_PROXIES", default=0)
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
# How often a user may ask, or an address without one, and how many rows of patients one is shown
# (medilink/api/throttling.py); how often log-ins may fail (clinical/lockout.py). `off` turns each off.
THROTTLE_USER = env.str("THROTTLE_USER", default="600/min")
THROTTLE_PATIENTS = env.str("THROTTLE_PATIENTS", default="20000/min")
PATIENTS_COUNTER = "medilink.api.throttling.count_patients"
THROTTLE_LOGIN = env.str("THROTTLE_LOGIN", default="5/15min")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 1
# Of the web alone (medilink/wsgi.py): a load may take longer.
DB_STATEMENT_TIMEOUT_MS = env.int("DB_STATEMENT_TIMEOUT_MS", default=5000)
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
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "medilink.desk.icon"}],
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
    "ACCOUNT": {"navigation": [{"title": "My account", "link": reverse_lazy("account")}]},
    "SIDEBAR": {"navigation": "medilink.desk.navigation"},
}

# --- Work that runs by itself. Lost workers and redelivery: a task may come twice, the database decides (README).
REDIS_URL = env.str("REDIS_URL", default="")
CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_TRANSPORT = "medilink.broker:Transport"
CELERY_WORKER_CONSUMER = "medilink.broker:Refusing"
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
S3_FHIR_EXPORTS_PREFIX = env.str("S3_FHIR_EXPORTS_PREFIX", default="fhir_exports/")
S3_ENDPOINT_URL = env.str("AWS_ENDPOINT_URL_S3", default="") or None
AWS_REGION = env.str("AWS_REGION", default="") or None

# Where a sealed backup goes every night: s3://bucket/prefix/ or a folder. Empty: somebody else's snapshots are the way.
BACKUP_URL = env.str("BACKUP_URL", default="")

# --- Where the files of FHIR exports lie for a day. Empty: in the bucket; else a folder that web and workers share.
FHIR_EXPORT_FOLDER = env.str("FHIR_EXPORT_FOLDER", default="")

INGEST_MAX_BYTES = env.int("INGEST_MAX_BYTES", default=2 * 1024**3)
INGEST_PARENT_WAIT = timedelta(seconds=env.int("INGEST_PARENT_WAIT", default=86_400))
INGEST_WATCH = env.bool("INGEST_WATCH", default=True)

# --- More distinct patients than this in an hour are told of as an alert, of a person and of a program (service).
ENUMERATION_ALARM = env.int("ENUMERATION_ALARM", default=2_000)
ENUMERATION_ALARM_SERVICE = env.int("ENUMERATION_ALARM_SERVICE", default=200_000)

# --- The ministry's DHIS2: where months are sent, and which of our figures is which of its (analytics/dhis2).
DHIS2_URL = env.str("DHIS2_URL", default="")
if DHIS2_URL and not DHIS2_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured("DHIS2_URL must begin with https:// (or http://).")
DHIS2_TOKEN = env.str("DHIS2_TOKEN", default="")
DHIS2_MAPPING = env.str("DHIS2_MAPPING", default="")

# --- Whom to tell when something went wrong.
ALERT_EMAIL = env.list("ALERT_EMAIL", default=[])
ALERT_WEBHOOK_URL = env.str("ALERT_WEBHOOK_URL", default="")
if ALERT_WEBHOOK_URL and not ALERT_WEBHOOK_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured("ALERT_WEBHOOK_URL must begin with https:// (or http://).")
# When only what is critical is told, in Lagos: 21:00-06:00. The rest is told in one message when they end.
ALERT_QUIET_HOURS = _hours("ALERT_QUIET_HOURS")
if not EMBEDDED:
    for reason in weaknesses(globals()):
        raise ImproperlyConfigured(reason)
vars().update(env.email_url("EMAIL_URL", default="consolemail://" if EMBEDDED else "smtp://localhost:25"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="medilink@localhost")
PORT = env.int("PORT", default=5000)
SITE_URL = env.str("SITE_URL", default=f"http://127.0.0.1:{PORT}")  # for links in messages

# --- For who watches: which build this is, and where errors and traces go (medilink/monitoring). Off where empty.
REVISION = env.str("MEDILINK_REVISION", default="")
SENTRY_DSN = env.str("SENTRY_DSN", default="")
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        # Outside the embedded mode, where patients are real.
        "json": {"()": "medilink.logs.Line"},
        "text": {"format": "{asctime} {levelname} {name} [{request_id}] {message}", "style": "{"},
    },
    "filters": {"request": {"()": "medilink.requests.RequestFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "text" if EMBEDDED else "json",
            "filters": ["request"],
        }
    },
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.db.backends": {"level": "WARNING"},  # statements and what was put into them
        "botocore": {"level": "WARNING"},
        "boto3": {"level": "WARNING"},
        "s3transfer": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
    },
}
