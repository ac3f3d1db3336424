"""One field: scene to image, masks and truth."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wootz.synthetic.detector import detect
from wootz.synthetic.raster import Maps, rasterise
from wootz.synthetic.scene import Scene
from wootz.synthetic.signal import signal
from wootz.synthetic.truth import geometric_truth, visible_truth


@dataclass(frozen=True)
class Rendered:
    """A drawn field: `image` (H, W) uint8 or uint16, `class_mask` (H, W) uint8, `instance_mask` (H, W) int32.

    In the instance mask 0 is none; a pore or precipitate has the id of its inclusion in the scene, a crack
    the number of inclusions plus its own id. `defect_mask` (H, W) bool marks what belongs to a defect group.
    `truth` holds ``geometric``, ``visible`` and ``defects``.
    """

    image: np.ndarray
    class_mask: np.ndarray
    instance_mask: np.ndarray
    defect_mask: np.ndarray
    truth: dict[str, Any]
    pixel_um: float


def draw(scene: Scene, *, pixel_um: float, mode: str | None = None, bit_depth: int = 8) -> Rendered:
    """Draw a scene with the numpy back end.

    Parameters
    ----------
    scene : Scene
    pixel_um : float, > 0
        Side of a pixel, in µm.
    mode : "se", "bse" or None
        None takes the scene's.
    bit_depth : int, 8 or 16

    Notes
    -----
    The same scene, pixel size, mode and bit depth give the same arrays bit for bit on one machine.
    """
    if mode is not None:
        scene = replace(scene, imaging=replace(scene.imaging, mode=mode))
    maps = rasterise(scene, pixel_um=pixel_um)
    texture_rng, noise_rng = map(np.random.default_rng, np.random.SeedSequence(scene.noise_seed).spawn(2))
    ideal = signal(scene, maps, rng=texture_rng)
    image = detect(ideal, scene, pixel_um=pixel_um, bit_depth=bit_depth, rng=noise_rng)
    defect_mask = _defects(scene, maps)
    truth = {
        "geometric": geometric_truth(scene),
        "visible": visible_truth(scene, maps),
        "defects": _defect_groups(scene),
        "defect_area_px": int(defect_mask.sum()),
    }
    return Rendered(image, maps.class_mask, maps.instance_mask, defect_mask, truth, pixel_um)


def _defects(scene: Scene, maps: Maps) -> np.ndarray:
    ids = [i.id for i in scene.inclusions if i.defect]
    ids += [len(scene.inclusions) + c.id for c in scene.cracks if c.defect]
    table = np.zeros(len(scene.inclusions) + len(scene.cracks) + 1, bool)
    table[ids] = True
    return table[maps.instance_mask]


def _defect_groups(scene: Scene) -> list[str]:
    return sorted({item.group for item in [*scene.inclusions, *scene.cracks] if item.defect})
