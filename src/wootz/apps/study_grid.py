"""What a study is: a question, a function, a grid of parameters, and rules for what to leave out."""

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from wootz import storage
from wootz.errors import WootzError

Params = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """The code of a study.

    Parameters
    ----------
    cell : callable
        ``cell(params, folder) -> figures``: plain numbers, strings, lists or nested dicts by name. `params`
        holds the cell's place in the grid and all fixed values, `folder` is the cell's own, kept between
        attempts. With `prepare` it is called as ``cell(params, folder, shared=shared)``.
    prepare : callable or None
        ``prepare(fixed, shared) -> figures``: work that all cells share, before the first of them. It is
        called again when a study is resumed and must pass over what it finds done.
    """

    cell: Callable[..., Mapping[str, Any]]
    prepare: Callable[[Params, Path], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Comparison:
    """Pairs to compare: every value of `key` against `baseline`, all other parameters equal."""

    key: str
    baseline: Any


@dataclass(frozen=True)
class Plot:
    """What the figure shows.

    Parameters
    ----------
    figures : list of str
        One row of panels each; by default the first four numbers of the cells.
    x : str
        Parameter along the axis; by default the compared one, else the last that varies.
    panel : str
        Parameter with one column of panels per value; by default none.
    """

    figures: list[str] = field(default_factory=list)
    x: str = ""
    panel: str = ""


@dataclass(frozen=True)
class Study:
    """A grid of experiments.

    Parameters
    ----------
    name : str
    experiment : str
        Name of the code, see `wootz.apps.study.build_experiment`.
    question : str
        One sentence that the result answers.
    grid : dict
        Values of each parameter; the cells are their product.
    fixed : dict
        Parameters that are the same in every cell, and part of its identity.
    skip : list of dict
        A combination is left out when all keys of one entry match; a list of values matches any of them.
    replicate : str
        Parameter that only repeats: means and intervals are taken over it, and it varies slowest, so that a
        study that stops early has every combination once before it has any twice.
    compare : Comparison or None
    plot : Plot
    """

    name: str
    experiment: str
    question: str = ""
    grid: dict[str, list[Any]] = field(default_factory=dict)
    fixed: Params = field(default_factory=dict)
    skip: list[dict[str, Any]] = field(default_factory=list)
    replicate: str = "seed"
    compare: Comparison | None = None
    plot: Plot = field(default_factory=Plot)

    def __post_init__(self) -> None:
        where = f"study {self.name!r}"
        for key, values in self.grid.items():
            if not isinstance(values, list) or not values:
                raise WootzError(f"{where}: grid.{key} must be a list of values, not {values!r}.")
            if len({storage.fingerprint(v) for v in values}) < len(values):
                raise WootzError(f"{where}: grid.{key} names a value twice: {values}.")
        if not self.grid:
            raise WootzError(f"{where} has no grid; give at least one parameter with its values.")
        twice = sorted(self.grid.keys() & self.fixed.keys())
        if twice:
            raise WootzError(f"{where}: {', '.join(twice)} stands in grid and in fixed; keep one.")
        for rule in self.skip:
            for key, value in rule.items():
                self._check_value("skip", key, *_as_list(value))
        if self.compare is not None:
            self._check_value("compare", self.compare.key, self.compare.baseline)
        for key in filter(None, (self.plot.x, self.plot.panel)):
            self._check_value("plot", key)

    def _check_value(self, what: str, key: str, *values: Any) -> None:
        if key not in self.grid:
            raise WootzError(
                f"study {self.name!r}: {what} names {key!r}; the grid has {', '.join(self.grid)}."
            )
        for value in values:
            if value not in self.grid[key]:
                raise WootzError(
                    f"study {self.name!r}: {what} names {key}={value!r}; the grid has {self.grid[key]}."
                )

    @property
    def combination_keys(self) -> list[str]:
        """Parameters of the grid that are not the replicate."""
        return [key for key in self.grid if key != self.replicate]

    def cells(self) -> list[Params]:
        """Return the parameters of all cells in the order in which they run."""
        keys = list(self.grid)
        slow = [self.replicate] if self.replicate in self.grid else []
        order = slow + self.combination_keys
        found = []
        for values in itertools.product(*(self.grid[key] for key in order)):
            chosen = dict(zip(order, values, strict=True))
            if not any(_matches(rule, chosen) for rule in self.skip):
                found.append({key: chosen[key] for key in keys} | self.fixed)
        if not found:
            raise WootzError(f"study {self.name!r}: the rules under skip leave nothing of the grid.")
        return found


def cell_id(params: Params) -> str:
    """Return a file name for a cell: readable, and different for different parameters."""
    text = "_".join(f"{key}-{value}" for key, value in params.items() if isinstance(value, str | int | float))
    slug = re.sub(r"[^\w.+-]+", "-", text)[:80].strip("-.")
    return f"{slug}_{storage.fingerprint(params)[:10]}"


def read_study(path: Path) -> Study:
    """Read a study from YAML; the keys are the fields of `Study`, the name is by default the file's.

    Raises
    ------
    WootzError
        If the file is no YAML mapping, or a key or a value is wrong.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        raw = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise WootzError(f"{path} cannot be read as a study: {error}") from error
    return study_from_plain(raw, name=path.stem, where=str(path))


def study_from_plain(raw: Any, *, name: str, where: str) -> Study:
    """Build a study from plain dicts and lists, with the errors of a misspelt key."""
    values = _known_keys(Study, raw, where=where)
    if "experiment" not in values:
        raise WootzError(f"{where}: 'experiment' is missing; it names the code of the cells.")
    if values.get("compare") is not None:
        values["compare"] = Comparison(
            **_known_keys(Comparison, values["compare"], where=f"{where}: compare")
        )
    if "plot" in values:
        values["plot"] = Plot(**_known_keys(Plot, values["plot"], where=f"{where}: plot"))
    values.setdefault("name", name)
    return Study(**values)


def _known_keys(schema: type, raw: Any, *, where: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise WootzError(f"{where} must be a mapping of keys, not {type(raw).__name__}.")
    known = [f.name for f in fields(schema)]
    strange = [key for key in raw if key not in known]
    if strange:
        raise WootzError(f"{where}: unknown key {strange[0]!r}; known are {', '.join(known)}.")
    return dict(raw)


def _matches(rule: Mapping[str, Any], params: Params) -> bool:
    return bool(rule) and all(params[key] in _as_list(value) for key, value in rule.items())


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
