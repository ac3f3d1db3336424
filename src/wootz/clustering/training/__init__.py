"""Clustering methods that train the encoder on the tiles, one file each, under Lightning."""
