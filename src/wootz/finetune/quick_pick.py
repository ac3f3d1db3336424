"""The quick pick: what a person gets from a library's defaults in an afternoon, shown beside ours in studies.

A segmentation-models-pytorch U-Net with a ResNet-18 from scratch, 400 steps of 8 random 224 px crops, AdamW
with a one-cycle schedule up to 1e-3, Dice + cross-entropy; trained on train + val, last weights kept. Frozen:
nothing here follows changes of `train_segmenter`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

STEPS = 400
BATCH = 8
CROP_PX = 224
PEAK_LR = 1e-3
IGNORE = 255


@dataclass(frozen=True)
class QuickPick:
    """The trained network and the factor by which fields are shrunk for it."""

    network: Any
    downscale: int

    def predict(self, field: np.ndarray) -> np.ndarray:
        """Return class probabilities, (C, H, W) float32, of a (H, W) float32 field, in one pass."""
        import torch
        from torch.nn import functional

        height, width = field.shape
        block = 32 * self.downscale
        padded = np.pad(field, [(0, -side % block) for side in field.shape], mode="symmetric")
        x = torch.from_numpy(np.ascontiguousarray(padded, np.float32))[None, None]
        with torch.inference_mode():
            probability = self.network(functional.avg_pool2d(x, self.downscale)).float().softmax(1)
        full = functional.interpolate(probability, size=padded.shape, mode="bilinear", align_corners=False)
        return full[0, :, :height, :width].numpy()

    def predict_mask(self, field: np.ndarray) -> np.ndarray:
        """Return the most probable class at each pixel, (H, W) uint8."""
        return self.predict(field).argmax(0).astype(np.uint8)


def train_quick_pick(
    fields: list[np.ndarray],
    masks: list[np.ndarray],
    *,
    n_classes: int,
    downscale: int = 1,
    seed: int = 0,
    steps: int = STEPS,
) -> QuickPick:
    """Train the quick pick.

    Parameters
    ----------
    fields : list of (H, W) float32
        On the scale of `wootz.intensity.scale`; train and val together.
    masks : list of (H, W) uint8, 255 = ignore
    n_classes : int, >= 2
    downscale : int, >= 1
        2 for large fields (the EBC set), else 1.
    seed : int
    steps : int
        400; fewer in tests.

    Returns
    -------
    QuickPick
    """
    import segmentation_models_pytorch as smp
    import torch

    from wootz.progress import track

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=n_classes)
    rng = np.random.default_rng(seed)
    small = [_shrink(f, m, downscale) for f, m in zip(fields, masks, strict=True)]
    optimiser = torch.optim.AdamW(network.parameters(), lr=PEAK_LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_LR, total_steps=steps)
    dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)
    entropy = torch.nn.CrossEntropyLoss(ignore_index=IGNORE)
    network.train()
    for _ in track(range(steps), title="training the quick pick", unit="steps"):
        crops = [_crop(*small[rng.integers(len(small))], rng=rng) for _ in range(BATCH)]
        x = torch.from_numpy(np.stack([pixels for pixels, _ in crops]))[:, None]
        target = torch.from_numpy(np.stack([mask for _, mask in crops])).long()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(x)
        loss = dice(logits.float(), target) + entropy(logits.float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return QuickPick(network.eval(), downscale)


def _shrink(field: np.ndarray, mask: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks of the field, take the first pixel of blocks of the mask; pad to a crop's size."""
    height, width = (side // factor * factor for side in field.shape)
    blocks = field[:height, :width].reshape(height // factor, factor, width // factor, factor)
    small, labels = blocks.mean((1, 3)).astype(np.float32), mask[:height:factor, :width:factor]
    missing = [(0, max(0, CROP_PX - side)) for side in small.shape]
    return np.pad(small, missing, mode="symmetric"), np.pad(labels, missing, constant_values=IGNORE)


def _crop(field: np.ndarray, mask: np.ndarray, *, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    row, col = (int(rng.integers(side - CROP_PX + 1)) for side in field.shape)
    window = (slice(row, row + CROP_PX), slice(col, col + CROP_PX))
    return field[window], mask[window]
