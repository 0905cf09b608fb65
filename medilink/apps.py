from django.apps import AppConfig


class MedilinkConfig(AppConfig):
    name = "medilink"
