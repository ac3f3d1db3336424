"""``wootz render``: a folder of fields with masks and truth; atomic, resumable, deterministic."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wootz.errors import WootzError
from wootz.progress import track
from wootz.storage import write_bytes, write_json
from wootz.synthetic.composing import compose
from wootz.synthetic.config import RenderConfig
from wootz.synthetic.documents import to_json, to_plain
from wootz.synthetic.drawing import Rendered, draw
from wootz.synthetic.recipe import CLASSES, Recipe, read_recipe
from wootz.synthetic.recipes import RECIPES, build_recipe
from wootz.synthetic.scene import Scene

TRUTH_SCHEMA = "wootz-truth/1"
UM_PER_CM = 10_000.0


@dataclass(frozen=True)
class RenderReport:
    """What `render` wrote: folder, names of all fields, how many this call drew, recipe."""

    folder: Path
    names: list[str]
    n_drawn: int
    recipe: str
    recipe_hash: str
    pixel_um: float

    def summary(self) -> str:
        """Describe the result in a few lines for the terminal."""
        kept = len(self.names) - self.n_drawn
        there = f" ({kept} were there already)" if kept else ""
        return (
            f"{len(self.names)} fields in {self.folder}{there}\n"
            f"recipe {self.recipe}, hash {self.recipe_hash[:12]}, {self.pixel_um:g} µm per pixel\n"
            "images/, masks/, instances/, scenes/, truth.json, classes.csv, metadata.csv, recipe.json"
        )


def render(out: str | Path, cfg: RenderConfig) -> RenderReport:
    """Draw a set of fields with exact masks and truth.

    Parameters
    ----------
    out : path
        New folder, or one that an interrupted call with the same options began: then only what is missing
        is drawn. A larger `n` extends a set.
    cfg : RenderConfig

    Returns
    -------
    RenderReport

    Raises
    ------
    WootzError
        If the recipe is unknown or unreadable, the field too small for it, or `out` holds another set.

    Notes
    -----
    ``images/*.tif`` (uint8 or uint16; pixel size in the resolution tags, per cm, and in ImageJ's
    description), ``masks/*.png`` (class ids), ``instances/*.png`` (uint16), ``defects/*.png`` (0 / 255, for
    recipes with defect groups), ``scenes/*.json``, ``truth/*.json``, ``classes.csv``, ``metadata.csv`` (file,
    specimen, condition), ``recipe.json`` and, last, ``truth.json``.
    """
    out = Path(out)
    recipe = _recipe(cfg.recipe)
    pixel_um = cfg.pixel_um or recipe.pixel_um
    _claim(out, cfg, recipe, pixel_um)
    names = [f"{cfg.prefix}_{i:04d}" for i in range(cfg.n)]
    missing = [i for i, name in enumerate(names) if not (out / "truth" / f"{name}.json").is_file()]
    for i in track(missing, title="rendering", unit="fields"):
        side_um = cfg.size_px * pixel_um
        scene = compose(recipe, i, seed=cfg.seed, width_um=side_um, height_um=side_um)
        drawn = draw(scene, pixel_um=pixel_um, mode=cfg.mode, bit_depth=cfg.bit_depth)
        _write_field(out, names[i], scene, drawn)
    _write_tables(out, names, recipe, cfg)
    return RenderReport(out, names, len(missing), recipe.name, recipe.hash, pixel_um)


def _recipe(name: str) -> Recipe:
    if name in RECIPES or not ("/" in name or "\\" in name or name.endswith(".json")):
        return build_recipe(name)
    return read_recipe(name)


def _claim(out: Path, cfg: RenderConfig, recipe: Recipe, pixel_um: float) -> None:
    """Write what the folder is for; refuse a folder that is for something else."""
    settings = {**asdict(cfg), "recipe": recipe.name, "recipe_hash": recipe.hash, "pixel_um": pixel_um}
    settings["mode"] = cfg.mode or recipe.imaging.mode
    del settings["n"]
    path = out / "render.json"
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [key for key in settings if before.get(key) != settings[key]]
        if changed:
            key = changed[0]
            raise WootzError(
                f"{out} holds a set that was rendered with {key}={before.get(key)!r}, not {settings[key]!r}; "
                "give a new folder, or the options of that set to complete it."
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WootzError(f"{out} exists and is no folder of rendered fields; give a new or empty folder.")
    for folder in ("images", "masks", "instances", "scenes", "truth"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_bytes(out / "recipe.json", to_json(recipe).encode())
    write_json(path, settings)


def _write_field(out: Path, name: str, scene: Scene, drawn: Rendered) -> None:
    """Write one field; its truth comes last and marks it as complete."""
    write_bytes(out / "images" / f"{name}.tif", tiff_bytes(drawn.image, pixel_um=drawn.pixel_um))
    write_bytes(out / "masks" / f"{name}.png", _png_bytes(drawn.class_mask))
    if drawn.instance_mask.max() > np.iinfo(np.uint16).max:
        raise WootzError(f"{name} holds more than 65535 objects; render smaller fields.")
    write_bytes(out / "instances" / f"{name}.png", _png_bytes(drawn.instance_mask.astype(np.uint16)))
    files = {"file": f"images/{name}.tif", "mask": f"masks/{name}.png", "instances": f"instances/{name}.png"}
    if drawn.truth["defects"]:
        (out / "defects").mkdir(exist_ok=True)
        write_bytes(out / "defects" / f"{name}.png", _png_bytes(drawn.defect_mask * np.uint8(255)))
        files["defect_mask"] = f"defects/{name}.png"
    write_bytes(out / "scenes" / f"{name}.json", to_json(scene, indent=None).encode())
    record: dict[str, Any] = {
        **files,
        "scene": f"scenes/{name}.json",
        "scene_hash": scene.hash,
        "pixel_um": drawn.pixel_um,
        "tilt_deg": scene.tilt_deg,
        **drawn.truth,
    }
    write_json(out / "truth" / f"{name}.json", record)


def _write_tables(out: Path, names: list[str], recipe: Recipe, cfg: RenderConfig) -> None:
    fields = [json.loads((out / "truth" / f"{name}.json").read_text(encoding="utf-8")) for name in names]
    classes = ["id,name,colour,role", *(f"{c.id},{c.name},{c.colour},{c.role}" for c in CLASSES)]
    write_bytes(out / "classes.csv", ("\n".join(classes) + "\n").encode())
    rows = [
        f"{name}.tif,{name},{'defect' if field['defects'] else 'normal'}"
        for name, field in zip(names, fields, strict=True)
    ]
    write_bytes(out / "metadata.csv", ("\n".join(["file,specimen,condition", *rows]) + "\n").encode())
    head = {"schema": TRUTH_SCHEMA, "recipe": recipe.name, "recipe_hash": recipe.hash, "seed": cfg.seed}
    classes_plain = [to_plain(c) for c in CLASSES]
    write_json(out / "truth.json", {**head, "classes": classes_plain, "fields": fields})


def tiff_bytes(image: np.ndarray, *, pixel_um: float) -> bytes:
    """Encode a grey image as TIFF with its pixel size.

    The resolution tags give pixels per centimetre and ImageJ's description names the same unit, so that a
    reader of either gets the same size (ImageJ takes the tags in the unit of its description).
    """
    import tifffile

    buffer = io.BytesIO()
    per_cm = UM_PER_CM / pixel_um
    tifffile.imwrite(
        buffer,
        image,
        imagej=True,
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata={"unit": "cm"},
    )
    return buffer.getvalue()


def _png_bytes(mask: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()
