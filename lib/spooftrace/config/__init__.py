"""YAML files and command-line overrides -> a checked configuration."""
