"""Management boards (BMC): what a machine has beside itself, reached over HTTPS, also while the machine is off."""
