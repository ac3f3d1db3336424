"""Clustering methods beside k-means and the graph, one file each, all on the same (N, D) features."""
