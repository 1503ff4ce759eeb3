"""News of alerts to people and systems outside: by webhook, and by mail over the site's relay."""
