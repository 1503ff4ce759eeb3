"""Package an image: the kind (`kind.py`), and what it runs, which is pure: `python -m jobs.kinds.package_image`."""
