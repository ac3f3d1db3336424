"""One self-contained page with a card for each cluster: what it is, where it ends, what it may be made of."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wootz.clustering.sheet import SheetTile, shorten
from wootz.plotting import scale_bar
from wootz.storage import plain, write_bytes, write_json

SHOWN_PX = 112
JPEG_QUALITY = 85
DATA_FILE, PAGE_FILE = "cards.json", "cards.html"
DATA_FORMAT = "wootz-cards/1"


@dataclass(frozen=True)
class CardTile:
    """A tile on a card.

    Parameters
    ----------
    tile_id : str
    picture : SheetTile
    heat : (H, W) float or None
        Occlusion map: above 0 where covering takes the tile away from its cluster.
    """

    tile_id: str
    picture: SheetTile
    heat: np.ndarray | None = None


@dataclass(frozen=True)
class Card:
    """What is shown of a cluster.

    Parameters
    ----------
    cluster : int
    n : int
    share : float in [0, 1]
        Of all tiles.
    tiles : dict
        Tiles by role: ``medoid``, ``borderline``, ``outlier``.
    spread : dict
        For specimen, condition and the like: list of (value, tiles, share of the cluster, of all tiles).
    badges : sequence of str
    classes : sequence of (str, int)
        Known classes, commonest first.
    stability : float or None
        Mean best Jaccard over subsamples, in [0, 1].
    n_images : int
    """

    cluster: int
    n: int
    share: float
    tiles: Mapping[str, Sequence[CardTile]]
    spread: Mapping[str, Sequence[tuple[str, int, float, float]]] = field(default_factory=dict)
    badges: Sequence[str] = ()
    classes: Sequence[tuple[str, int]] = ()
    stability: float | None = None
    n_images: int = 0


def write_cards(
    cards: Sequence[Card], folder: Path, *, title: str, words: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Write ``cards.html``, which opens offline, and its data as ``cards.json``.

    Parameters
    ----------
    cards : sequence of Card
    folder : Path
    title : str
    words : sequence of str
        What clusters follow, in sentences.

    Returns
    -------
    tuple of Path
        Page and data. The data are in the page as well, in the script element ``cards-data``.
    """
    import jinja2

    data = card_data(cards, title=title, words=words)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("wootz.clustering", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # "<" would let a file name end the script element
    text = json.dumps(plain(data), ensure_ascii=False, sort_keys=True).replace("<", "\\u003c")
    page = environment.get_template("cards.html.j2").render(
        title=title, words=words, cards=[_shown(card) for card in cards], data=text
    )
    write_bytes(folder / PAGE_FILE, page.encode())
    write_json(folder / DATA_FILE, data)
    return folder / PAGE_FILE, folder / DATA_FILE


def card_data(cards: Sequence[Card], *, title: str, words: Sequence[str] = ()) -> dict[str, Any]:
    """Return what is on the cards, without the pictures, as plain values; tiles are named by their ids."""
    names = ("cluster", "n", "share", "n_images", "stability", "spread", "badges", "classes")
    return {
        "format": DATA_FORMAT,
        "title": title,
        "words": list(words),
        "clusters": [
            {name: getattr(card, name) for name in names}
            | {"tiles": {role: [t.tile_id for t in tiles] for role, tiles in card.tiles.items()}}
            for card in cards
        ],
    }


def _shown(card: Card) -> dict[str, Any]:
    """Word a card for the template."""
    facts = f"{card.n} tiles ({card.share:.1%}) of {card.n_images} images"
    roles = {role: [_picture(tile) for tile in tiles] for role, tiles in card.tiles.items() if tiles}
    maps = [_picture(tile, heat=True) for tile in card.tiles.get("medoid", ()) if tile.heat is not None]
    known = sum(n for _, n in card.classes)
    return {
        "cluster": card.cluster,
        "facts": facts,
        "stability": card.stability,
        "badges": card.badges,
        "classes": [(name, n, n / known) for name, n in card.classes],
        "spread": card.spread,
        "roles": roles,
        "maps": maps,
    }


def _picture(tile: CardTile, *, heat: bool = False) -> dict[str, Any]:
    shown = tile.picture
    image = np.clip(shown.image.astype(np.float32), 0, 1)
    width = image.shape[1]
    length_px, label = scale_bar(width, shown.pixel_size_nm)
    pixels = np.repeat((255 * image)[..., None], 3, axis=2)
    note = shown.note
    if heat and tile.heat is not None:
        pixels, note = _heated(pixels, tile.heat), f"at most {tile.heat.max():+.0%}"
    return {
        "uri": _jpeg(pixels.astype(np.uint8)),
        "caption": shorten(shown.caption, 22),
        "name": shown.caption,
        "note": note,
        "bar": 100 * length_px / width,
        "label": label,
    }


def _heated(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay what speaks for the cluster over the tile in orange, what speaks against it in blue."""
    strength = heat / max(float(np.abs(heat).max()), 1e-12)
    alpha = 0.65 * np.abs(strength)[..., None]
    colour = np.where(strength[..., None] > 0, [230.0, 120.0, 0.0], [0.0, 114.0, 178.0])
    return (1 - alpha) * pixels + alpha * colour


def _jpeg(pixels: np.ndarray) -> str:
    from PIL import Image

    image = Image.fromarray(pixels)
    longer = max(image.size)
    if longer > 2 * SHOWN_PX:  # twice as fine as shown, for screens with small pixels
        size = [max(1, round(side * 2 * SHOWN_PX / longer)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
