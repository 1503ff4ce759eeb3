"""What the site itself knows of which versions go together: entries that come before the tables of files."""
