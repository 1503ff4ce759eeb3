"""The site: what a browser or a client meets."""

# Loaded with the project, so that every process that wakes a worker uses this application's broker.
from console.celery import app

__all__ = ["app"]
