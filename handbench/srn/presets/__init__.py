"""Configurations by name, one TOML file each."""
