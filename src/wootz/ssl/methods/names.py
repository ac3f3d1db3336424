"""The names of all methods and where their options stand; neither torch nor the options are imported."""

from importlib import import_module
from typing import Any

from wootz.options import check_choice

METHODS = {
    "simclr": "wootz.ssl.methods.options:SimCLRConfig",
    "byol": "wootz.ssl.methods.options:BYOLConfig",
    "moco": "wootz.ssl.methods.options:MoCoConfig",
    "mocov3": "wootz.ssl.methods.options:MoCoV3Config",
    "vicreg": "wootz.ssl.methods.options:VICRegConfig",
    "swav": "wootz.ssl.methods.options:SwaVConfig",
    "dino": "wootz.ssl.methods.options:DINOConfig",
    "densecl": "wootz.ssl.methods.options:DenseCLConfig",
    "pirl": "wootz.ssl.methods.pretext_options:PIRLConfig",
    "cpc": "wootz.ssl.methods.pretext_options:CPCConfig",
    "relpatch": "wootz.ssl.methods.pretext_options:RelPatchConfig",
    "gapfill": "wootz.ssl.methods.pretext_options:GapFillConfig",
    "mae": "wootz.ssl.methods.pretext_options:MAEConfig",
}


def method_options(name: str) -> Any:
    """Return the options of a method at their defaults, to be changed and put into a `PretrainConfig`.

    Raises
    ------
    WootzError
        If there is no such method.
    """
    check_choice("method", name, METHODS)
    module, _, schema = METHODS[name].partition(":")
    return getattr(import_module(module), schema)()
