"""What each command is called, takes and does: one row per command, read without importing any of them."""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from wootz.clustering.methods.names import METHODS as CLUSTERINGS
from wootz.ssl.methods.names import METHODS

GroupTable = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Command:
    """One `wootz` command.

    Parameters
    ----------
    summary : str
        One line for ``wootz --help``.
    usage : str
        The positional arguments, as shown in help.
    schema : str
        ``module:Class`` of the options dataclass.
    function : str
        ``module:function``, called as ``function(paths, config)``; what it returns has ``summary()``.
    n_paths : tuple of int
        Least and largest number of positional arguments; -1 for any.
    groups : dict
        Option groups: ``{"method": {"simclr": "module:Class", ...}}``; the first choice is the default.
    presets : dict
        Named values for a nested part of the options: ``{"augment": "module:TABLE"}`` with a table
        ``{"bse": {"dose_min": 25.0, ...}, ...}``. ``augment=bse`` sets them all; single options override it.
    """

    summary: str
    usage: str
    schema: str
    function: str
    n_paths: tuple[int, int]
    groups: GroupTable = field(default_factory=dict)
    presets: dict[str, str] = field(default_factory=dict)


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "the whole chain on rendered coating cross-sections, in minutes, to report.html",
        "[OUT]",
        "wootz.apps.demo_config:DemoConfig",
        "wootz.apps.demo:demo_command",
        (0, 1),
    ),
    "ingest": Command(
        "files and folders -> archive",
        "ARCHIVE PATH [PATH ...]",
        "wootz.ingest:IngestConfig",
        "wootz.cli.verbs:ingest",
        (1, -1),
    ),
    "render": Command(
        "scenes -> images, masks and exact truth",
        "OUT",
        "wootz.synthetic.config:RenderConfig",
        "wootz.cli.verbs:render",
        (1, 1),
    ),
    "pretrain": Command(
        "tiles -> encoder, without labels",
        "ARCHIVE",
        "wootz.ssl.config:PretrainConfig",
        "wootz.cli.verbs:pretrain",
        (1, 1),
        {"method": METHODS},
        {"augment": "wootz.augment.presets:PRESETS"},
    ),
    "views": Command(
        "tiles -> a sheet of augmented views: what the network sees in training",
        "ARCHIVE [OUT.png]",
        "wootz.apps.views_options:ViewsConfig",
        "wootz.cli.verbs:views",
        (1, 2),
        presets={"augment": "wootz.augment.presets:PRESETS"},
    ),
    "embed": Command(
        "encoder -> named embedding of every tile",
        "ARCHIVE",
        "wootz.ssl.config:EmbedConfig",
        "wootz.cli.verbs:embed",
        (1, 1),
    ),
    "probe": Command(
        "embedding -> what it tells beside the material: instrument, magnification, brightness ...",
        "ARCHIVE",
        "wootz.ssl.shortcut_options:ProbeConfig",
        "wootz.cli.verbs:probe",
        (1, 1),
    ),
    "cluster": Command(
        "embedding -> candidate classes, prototypes, montages",
        "ARCHIVE",
        "wootz.clustering.config:ClusterConfig",
        "wootz.cli.verbs:cluster",
        (1, 1),
        {"method": CLUSTERINGS},
    ),
    "assign": Command(
        "new tiles -> the clusters that are there, or none of these",
        "ARCHIVE",
        "wootz.clustering.assign_config:AssignConfig",
        "wootz.cli.verbs:assign",
        (1, 1),
    ),
    "explore": Command(
        "clusters -> a local page where an expert names, merges, splits and rejects them",
        "ARCHIVE",
        "wootz.explore.config:ExploreConfig",
        "wootz.cli.verbs:explore",
        (1, 1),
    ),
    "finetune": Command(
        "a few labels -> segmentation or anomaly head, or classes of all tiles",
        "ARCHIVE",
        "wootz.finetune.config:FinetuneConfig",
        "wootz.cli.verbs:finetune",
        (1, 1),
        {
            "task": {
                "segment": "wootz.finetune.config:SegmentConfig",
                "anomaly": "wootz.finetune.config:AnomalyConfig",
                "classify": "wootz.finetune.config:ClassifyConfig",
            }
        },
    ),
    "predict": Command(
        "head -> masks, maps, scores, objects",
        "ARCHIVE",
        "wootz.finetune.config:PredictConfig",
        "wootz.cli.verbs:predict",
        (1, 1),
    ),
    "measure": Command(
        "masks and objects -> thickness, fractions, particles, counts, with units and intervals",
        "ARCHIVE",
        "wootz.measure.config:MeasureConfig",
        "wootz.cli.verbs:measure",
        (1, 1),
        {
            "measure": {
                "coating": "wootz.measure.config:CoatingConfig",
                "fractions": "wootz.measure.config:FractionsConfig",
                "particles": "wootz.measure.config:ParticlesConfig",
                "objects": "wootz.measure.config:ObjectsConfig",
            }
        },
    ),
    "report": Command(
        "one self-contained HTML page from whatever the archive holds",
        "ARCHIVE [OUT.html]",
        "wootz.apps.report:ReportConfig",
        "wootz.cli.verbs:report",
        (1, 2),
    ),
    "repair": Command(
        "damaged files of an archive set aside, so that the rest works and the gaps can be filled",
        "ARCHIVE",
        "wootz.repair_config:RepairConfig",
        "wootz.cli.verbs:repair",
        (1, 1),
    ),
    "study": Command(
        "a grid of experiments, resumable, within a time budget, to a table and a figure",
        "NAME",
        "wootz.apps.study:StudyConfig",
        "wootz.cli.verbs:study",
        (1, 1),
    ),
}


def resolve(reference: str) -> Any:
    """Import ``module:name`` and return the object."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
