from django.apps import AppConfig


class AdmissionConfig(AppConfig):
    name = "jobs.admission"
    label = "admission"
