"""Hydra's YAML files: one per command, one per choice of a group; the schemas stand beside the code."""
