"""The names of all clustering methods and where their options stand; nothing heavy is imported."""

METHODS = {
    "graph": "wootz.clustering.config:GraphConfig",
    "kmeans": "wootz.clustering.config:KMeansConfig",
    "hierarchical": "wootz.clustering.methods.hierarchical_options:HierarchicalConfig",
    "cohn_holm": "wootz.clustering.methods.options:CohnHolmConfig",
    "hdbscan": "wootz.clustering.methods.options:HDBSCANConfig",
    "ward": "wootz.clustering.methods.options:WardConfig",
    "scan": "wootz.clustering.methods.head_options:SCANConfig",
    "temi": "wootz.clustering.methods.head_options:TEMIConfig",
    "sela": "wootz.clustering.methods.head_options:SeLaConfig",
    "seeded": "wootz.clustering.methods.options:SeededConfig",
    "constrained": "wootz.clustering.methods.options:ConstrainedConfig",
    "deepcluster": "wootz.clustering.training.options:DeepClusterConfig",
    "clusterfit": "wootz.clustering.training.options:ClusterFitConfig",
    "dac": "wootz.clustering.training.options:DACConfig",
    "simgcd": "wootz.clustering.methods.head_options:SimGCDConfig",
}
