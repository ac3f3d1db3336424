"""A trained segmentation head: its file, and class probabilities of a whole field."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wootz.encoders import INTENSITY, build_encoder, read_checkpoint, write_checkpoint
from wootz.errors import CheckpointError
from wootz.finetune.crops import shrink_field
from wootz.finetune.unet import UNet, build_unet

FORMAT = "wootz-segmenter"
_VERSION = 1


@dataclass(frozen=True)
class Segmenter:
    """A network with all that its use depends on.

    Parameters
    ----------
    network : UNet
        In evaluation mode.
    class_names : tuple of str
    downscale : int
        Fields are shrunk by this factor before the network and its answer is enlarged after.
    crop_px : int
        Side of a window, after downscale.
    flip_rows : bool
        Whether the network has also seen fields upside down.
    precision : str
        ``"bf16"`` or ``"float32"``.
    provenance : dict
        What made it.
    """

    network: UNet
    class_names: tuple[str, ...]
    downscale: int
    crop_px: int
    flip_rows: bool
    precision: str
    provenance: dict[str, Any]

    def predict(self, field: np.ndarray, *, flips: bool = True, overlap: float = 0.5) -> np.ndarray:
        """Return the probability of each class at each pixel.

        Parameters
        ----------
        field : (H, W) float32
            On the scale of `wootz.intensity.scale`; any size.
        flips : bool
            Average over the flips that the network was trained with.
        overlap : float in [0, 0.9]
            Overlap of neighbouring windows, which are blended with Gaussian weights.

        Returns
        -------
        (C, H, W) float32, summing to 1 over the classes

        Raises
        ------
        ValueError
            If the field has not two axes or holds NaN or infinity.
        """
        if field.ndim != 2 or not np.isfinite(field).all():
            raise ValueError(f"a field must be (H, W) and finite, this one is {field.shape}")
        small = shrink_field(np.asarray(field, np.float32), self.downscale)
        turns = [[], [3], [2], [2, 3]] if self.flip_rows else [[], [3]]
        probability = predict_field(
            self.network,
            small,
            crop_px=self.crop_px,
            turns=turns if flips else [[]],
            precision=self.precision,
            overlap=overlap,
        )
        if self.downscale > 1:
            probability = functional.interpolate(
                probability[None], scale_factor=self.downscale, mode="bilinear", align_corners=False
            )[0]
        height, width = field.shape
        return probability[:, :height, :width].cpu().numpy()

    def predict_mask(self, field: np.ndarray, *, flips: bool = True, overlap: float = 0.5) -> np.ndarray:
        """Return the most probable class at each pixel, (H, W) uint8."""
        return self.predict(field, flips=flips, overlap=overlap).argmax(0).astype(np.uint8)


@torch.inference_mode()
def predict_field(
    network: UNet, field: Tensor, *, crop_px: int, turns: list[list[int]], precision: str, overlap: float
) -> Tensor:
    """Blend the class probabilities of overlapping windows with Gaussian weights.

    Parameters
    ----------
    network : UNet
        Put into evaluation mode.
    field : (H, W) float32
        Already shrunk; one smaller than a window is extended by reflection.
    crop_px : int
        Side of a window.
    turns : list of list of int
        Axes of the flips to average over; ``[[]]`` for none.
    precision : str
    overlap : float in [0, 1)

    Returns
    -------
    (C, H, W) float32 on the network's device
    """
    from monai.inferers.utils import sliding_window_inference

    network.eval()
    device = next(network.parameters()).device
    height, width = field.shape
    padded = np.pad(field.numpy(), [(0, max(0, crop_px - side)) for side in field.shape], mode="symmetric")

    def probabilities(windows: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            answers = [network(windows.flip(axes)).softmax(1).flip(axes) for axes in turns]
        return torch.stack(answers).mean(0)

    x = torch.from_numpy(padded)[None, None].to(device)
    blended = sliding_window_inference(x, crop_px, 4, probabilities, overlap, mode="gaussian")
    probability = cast("Tensor", blended)[0, :, :height, :width].float()
    return probability / probability.sum(0, keepdim=True)


def save_segmenter(path: Path | str, segmenter: Segmenter) -> None:
    """Write a segmenter to one file, atomically."""
    import json

    state = {key: value.detach().cpu().contiguous() for key, value in segmenter.network.state_dict().items()}
    content = {
        "format": FORMAT,
        "version": _VERSION,
        "encoder": segmenter.network.encoder.name,
        "intensity": INTENSITY,
        "class_names": list(segmenter.class_names),
        "downscale": segmenter.downscale,
        "crop_px": segmenter.crop_px,
        "flip_rows": segmenter.flip_rows,
        "precision": segmenter.precision,
        "provenance": json.dumps(segmenter.provenance, default=str),
        "weights": state,
    }
    write_checkpoint(path, content)


def load_segmenter(path: Path | str, *, device: str = "cpu") -> Segmenter:
    """Rebuild a segmenter from its file; every weight must fit.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, another kind of checkpoint, of another architecture or made for
        another intensity scale.
    """
    import json

    content = read_checkpoint(path)
    if content.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is no segmentation head (it says {content.get('format')!r}); pass the head.pt of a "
            "`wootz finetune ARCHIVE task=segment` run."
        )
    if content["version"] > _VERSION:
        raise CheckpointError(f"{path} was written by a newer wootz; update wootz to read it.")
    if content["intensity"] != INTENSITY:
        raise CheckpointError(
            f"{path} expects another intensity scale ({content['intensity']}); train again."
        )
    class_names = tuple(content["class_names"])
    encoder = build_encoder(content["encoder"], generator_seed=0)
    network = build_unet(encoder, n_classes=len(class_names), seed=0)
    try:
        network.load_state_dict(content["weights"], strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} does not fit a U-Net on {content['encoder']!r}; train the head again with this version."
        ) from error
    return Segmenter(
        network=network.to(device).eval(),
        class_names=class_names,
        downscale=content["downscale"],
        crop_px=content["crop_px"],
        flip_rows=content["flip_rows"],
        precision=content["precision"],
        provenance=json.loads(content["provenance"]),
    )
