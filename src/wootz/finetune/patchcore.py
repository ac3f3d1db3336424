"""PatchCore on a wootz encoder: an anomaly is a patch unlike every patch of the normal fields."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage, stats
from torch.nn import functional

from wootz.encoders import INTENSITY, Encoder, build_encoder, read_checkpoint, write_checkpoint
from wootz.errors import CheckpointError, WootzError
from wootz.finetune.config import AnomalyConfig
from wootz.finetune.coreset import greedy_coreset
from wootz.finetune.crops import shrink_field
from wootz.progress import track

_FORMAT = "wootz-anomaly"
_VERSION = 1
_WINDOW_PX = 512
_MARGIN_PX = 64
_FLAT_LIMIT = 10_000


@dataclass(frozen=True)
class Detector:
    """A memory of normal patches and the encoder that describes patches.

    Parameters
    ----------
    encoder : Encoder
    memory : (K, D) float32
    cfg : AnomalyConfig
    threshold : float
        Image score (and heat) above which a field (a pixel) is called anomalous.
    normal_scores : (n,) float64
        Image scores of the normal fields, each against a memory that has not seen it.
    provenance : dict
    """

    encoder: Encoder
    memory: np.ndarray
    cfg: AnomalyConfig
    threshold: float
    normal_scores: np.ndarray
    provenance: dict[str, Any]

    def heat_map(self, field: np.ndarray) -> np.ndarray:
        """Return the distance of each pixel's patch to the normal patches.

        Parameters
        ----------
        field : (H, W) float32
            On the scale of `wootz.intensity.scale`.

        Returns
        -------
        (H, W) float32, >= 0
        """
        features, grid = patch_features(self.encoder, field, self.cfg)
        distances = patch_distances(features, self.memory, neighbours=self.cfg.neighbours)
        return _to_pixels(distances.reshape(grid), field.shape, self.cfg)


def fit_detector(
    fields: list[np.ndarray],
    encoder: Encoder,
    cfg: AnomalyConfig,
    *,
    rng: np.random.Generator,
    provenance: dict[str, Any] | None = None,
) -> Detector:
    """Remember normal fields and set the threshold from them alone.

    Parameters
    ----------
    fields : list of (H, W) float32
        Normal fields, at least two.
    encoder : Encoder
    cfg : AnomalyConfig
    rng : np.random.Generator
    provenance : dict, optional

    Returns
    -------
    Detector

    Raises
    ------
    WootzError
        With fewer than two fields.

    Notes
    -----
    A field scored against a memory that holds its own patches looks too normal. So the fields are dealt into
    at most five groups, each scored against a memory of the others; the threshold is the score that the next
    normal field exceeds with chance `cfg.false_alarm_frac` (see `threshold_from_normal`).

    References
    ----------
    Roth et al. 2022, doi:10.1109/CVPR52688.2022.01392.
    """
    if len(fields) < 2:
        raise WootzError("a threshold needs at least two normal fields; give more images.")
    described = [
        patch_features(encoder, f, cfg) for f in track(fields, title="describing patches", unit="fields")
    ]
    share = max(1, cfg.max_patches // len(fields))
    drawn = [x[rng.permutation(len(x))[:share]] for x, _ in described]
    groups = np.arange(len(fields)) % min(5, len(fields))
    scores = np.zeros(len(fields))
    for group in range(groups.max() + 1):
        memory = _memory([x for x, g in zip(drawn, groups, strict=True) if g != group], cfg, rng=rng)
        for i in np.flatnonzero(groups == group):
            features, grid = described[i]
            distances = patch_distances(features, memory, neighbours=cfg.neighbours)
            scores[i] = image_score(_to_pixels(distances.reshape(grid), fields[i].shape, cfg))
    return Detector(
        encoder=encoder,
        memory=_memory(drawn, cfg, rng=rng),
        cfg=cfg,
        threshold=threshold_from_normal(scores, false_alarm_frac=cfg.false_alarm_frac),
        normal_scores=scores,
        provenance=provenance or {},
    )


def image_score(heat: np.ndarray) -> float:
    """Return the largest heat of a field."""
    return float(heat.max())


def threshold_from_normal(scores: np.ndarray, *, false_alarm_frac: float) -> float:
    """Return the score that the next normal field exceeds with chance `false_alarm_frac`.

    Parameters
    ----------
    scores : (n,) float64, n >= 2
        Held-out scores of normal fields.
    false_alarm_frac : float in (0, 1)

    Returns
    -------
    float

    Notes
    -----
    With ``k = ceil((n + 1)(1 - a)) <= n`` it is the k-th smallest score: exact for any distribution
    (split-conformal). With fewer fields no order statistic is high enough, and it is Student's t prediction
    limit ``m + t s sqrt(1 + 1/n)``, which trusts that scores are roughly normal.

    References
    ----------
    Lei et al. 2018, doi:10.1080/01621459.2017.1307116.
    """
    n = len(scores)
    k = math.ceil((n + 1) * (1.0 - false_alarm_frac))
    if k <= n:
        return float(np.sort(scores)[k - 1])
    t = float(stats.t.ppf(1.0 - false_alarm_frac, n - 1))
    return float(scores.mean() + t * scores.std(ddof=1) * math.sqrt(1.0 + 1.0 / n))


def patch_distances(features: np.ndarray, memory: np.ndarray, *, neighbours: int) -> np.ndarray:
    """Return the mean Euclidean distance of each row to its nearest rows of the memory.

    Parameters
    ----------
    features : (N, D) float32
    memory : (K, D) float32
    neighbours : int, >= 1

    Returns
    -------
    (N,) float32

    Notes
    -----
    Exact below 10,000 rows of memory; above, faiss searches the 16 nearest of ``sqrt(K) * 4`` cells.
    """
    import faiss

    rows = np.ascontiguousarray(features, np.float32)
    memory = np.ascontiguousarray(memory, np.float32)
    index: Any = faiss.IndexFlatL2(memory.shape[1])
    if len(memory) > _FLAT_LIMIT:
        cells = int(4 * math.sqrt(len(memory)))
        index = faiss.IndexIVFFlat(index, memory.shape[1], cells)
        index.nprobe = 16
        index.train(memory)
    index.add(memory)
    squared, _ = index.search(rows, min(neighbours, len(memory)))
    return np.sqrt(np.maximum(squared, 0.0)).mean(1)


@torch.inference_mode()
def patch_features(
    encoder: Encoder, field: np.ndarray, cfg: AnomalyConfig
) -> tuple[np.ndarray, tuple[int, int]]:
    """Describe each patch by the chosen feature maps, averaged over 3 x 3 neighbours.

    The grid is that of the finest chosen map; coarser maps are enlarged. Large fields pass in windows with
    a reflected margin, so memory does not grow with the field.

    Parameters
    ----------
    encoder : Encoder
    field : (H, W) float32
    cfg : AnomalyConfig

    Returns
    -------
    (rows * cols, D) float32 and (rows, cols)
    """
    encoder.eval()
    stride = 2 ** (min(cfg.layers) + 1)
    small = shrink_field(field, cfg.downscale).numpy()
    rows, cols = (-(-side // stride) for side in small.shape)
    after = [-side % 32 + _MARGIN_PX for side in small.shape]
    padded = np.pad(small, [(_MARGIN_PX, after[0]), (_MARGIN_PX, after[1])], mode="symmetric")
    margin = _MARGIN_PX // stride
    blocks = []
    for top in range(0, small.shape[0], _WINDOW_PX):
        strip = []
        for left in range(0, small.shape[1], _WINDOW_PX):
            end = (top + _WINDOW_PX + 2 * _MARGIN_PX, left + _WINDOW_PX + 2 * _MARGIN_PX)
            window = torch.from_numpy(np.ascontiguousarray(padded[top : end[0], left : end[1]]))
            strip.append(_describe(encoder, window, cfg)[margin:-margin, margin:-margin])
        blocks.append(torch.cat(strip, 1))
    described = torch.cat(blocks, 0)[:rows, :cols].float().cpu().numpy()
    return described.reshape(rows * cols, -1), (rows, cols)


def _describe(encoder: Encoder, window: torch.Tensor, cfg: AnomalyConfig) -> torch.Tensor:
    device = next(encoder.parameters()).device
    maps = encoder.feature_maps(window[None, None].to(device))
    chosen = [functional.avg_pool2d(maps[i].float(), 3, stride=1, padding=1) for i in sorted(cfg.layers)]
    size = chosen[0].shape[-2:]
    chosen[1:] = [
        functional.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in chosen[1:]
    ]
    return torch.cat(chosen, 1)[0].permute(1, 2, 0)


def _memory(parts: list[np.ndarray], cfg: AnomalyConfig, *, rng: np.random.Generator) -> np.ndarray:
    features = np.concatenate(parts)
    return features[greedy_coreset(features, cfg.coreset, rng=rng)]


def _to_pixels(patches: np.ndarray, shape: tuple[int, ...], cfg: AnomalyConfig) -> np.ndarray:
    """Enlarge a patch grid to the field and smooth it."""
    factor = 2 ** (min(cfg.layers) + 1) * cfg.downscale
    grid = torch.from_numpy(np.ascontiguousarray(patches, np.float32))[None, None]
    heat = functional.interpolate(grid, scale_factor=factor, mode="bilinear", align_corners=False)[
        0, 0
    ].numpy()
    smooth = ndimage.gaussian_filter(heat, cfg.smoothing_px * cfg.downscale) if cfg.smoothing_px else heat
    return smooth[: shape[0], : shape[1]].astype(np.float32)


def save_detector(path: Path | str, detector: Detector) -> None:
    """Write a detector to one file, atomically."""
    encoder = detector.encoder
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "encoder": encoder.name,
        "intensity": INTENSITY,
        "task": json.dumps(asdict(detector.cfg)),
        "threshold": detector.threshold,
        "normal_scores": torch.from_numpy(detector.normal_scores),
        "memory": torch.from_numpy(detector.memory),
        "provenance": json.dumps(detector.provenance, default=str),
        "weights": {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()},
    }
    write_checkpoint(path, content)


def load_detector(path: Path | str, *, device: str = "cpu") -> Detector:
    """Rebuild a detector from its file; every weight must fit.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, another kind of checkpoint or made for another intensity scale.
    """
    content = read_checkpoint(path)
    if content.get("format") != _FORMAT or content["version"] > _VERSION:
        raise CheckpointError(
            f"{path} is no anomaly head of this version (it says {content.get('format')!r}); pass the "
            "head.pt of a `wootz finetune ARCHIVE task=anomaly` run."
        )
    if content["intensity"] != INTENSITY:
        raise CheckpointError(
            f"{path} expects another intensity scale ({content['intensity']}); train again."
        )
    encoder = build_encoder(content["encoder"], generator_seed=0)
    encoder.load_state_dict(content["weights"], strict=True)
    return Detector(
        encoder=encoder.to(device).eval(),
        memory=content["memory"].numpy(),
        cfg=AnomalyConfig(**json.loads(content["task"])),
        threshold=content["threshold"],
        normal_scores=content["normal_scores"].numpy(),
        provenance=json.loads(content["provenance"]),
    )
