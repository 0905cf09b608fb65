"""The web application, for a WSGI server. Starts no embedded servers: `manage.py` does."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
application = get_wsgi_application()
