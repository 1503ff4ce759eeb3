"""Many machines at once: lists (CSV, Ansible) read and written, addresses looked through for SSH."""
