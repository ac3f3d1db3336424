"""Self-supervised methods, one file each, on lightly's losses and heads where these are right."""
