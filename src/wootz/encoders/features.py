"""Feature vectors of tiles by a frozen encoder."""

import numpy as np
import torch
from torch import nn


@torch.no_grad()
def embed_arrays(pixels: np.ndarray, encoder: nn.Module, *, batch_size: int = 256) -> np.ndarray:
    """Compute the features of tiles, averaged over each tile.

    Parameters
    ----------
    pixels : (N, H, W) or (N, 1, H, W) float32
        On the scale of `wootz.intensity.scale`.
    encoder : nn.Module
        Run in evaluation mode, on the device where it is; its mode is restored.
    batch_size : int, >= 1

    Returns
    -------
    (N, D) float32

    Raises
    ------
    ValueError
        If pixels have another number of dimensions.
    """
    if pixels.ndim not in (3, 4):
        raise ValueError(f"pixels must be (N, H, W) or (N, 1, H, W), got shape {pixels.shape}")
    weight = next(encoder.parameters())
    was_training = encoder.training
    encoder.eval()
    parts = []
    try:
        for start in range(0, len(pixels), batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch_size]))
            batch = batch if batch.ndim == 4 else batch[:, None]
            batch = batch.to(weight.device, weight.dtype).to(memory_format=torch.channels_last)
            parts.append(encoder(batch).float().cpu().numpy())
    finally:
        encoder.train(was_training)
    return np.concatenate(parts) if parts else np.zeros((0, encoder.dim), np.float32)  # type: ignore[arg-type]
