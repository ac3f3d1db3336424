"""The names of all clustering methods and where their options stand; nothing heavy is imported."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from typing import Any

from wootz.errors import WootzError
from wootz.options import check_choice

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
    "deepercluster": "wootz.clustering.training.options:DeeperClusterConfig",
    "clusterfit": "wootz.clustering.training.options:ClusterFitConfig",
    "dac": "wootz.clustering.training.options:DACConfig",
    "simgcd": "wootz.clustering.methods.head_options:SimGCDConfig",
}


def method_options(name: str, offered: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """Return the options of a method.

    Parameters
    ----------
    name : str
    offered : mapping
        Values for options that not every method has; what it has not is passed over.
    own : mapping
        Values over those; each must be an option of the method.

    Raises
    ------
    WootzError
        If there is no such method, it has no such option, or a value is out of range.
    """
    check_choice("method", name, METHODS)
    module, _, schema = METHODS[name].partition(":")
    options = getattr(import_module(module), schema)
    has = {field.name for field in fields(options)}
    strange = sorted(set(own) - has)
    if strange:
        raise WootzError(f"method={name} has no option {strange[0]!r}; it has {', '.join(sorted(has))}.")
    return options(**{key: value for key, value in offered.items() if key in has} | dict(own))
