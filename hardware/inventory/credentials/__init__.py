"""Credentials beyond their fields: a successor with a new key, and the page that lists them."""
