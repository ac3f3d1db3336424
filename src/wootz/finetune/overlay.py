"""Draw where a predicted mask is right and wrong."""

import numpy as np

IGNORE = 255
TURQUOISE = (64, 224, 208)
RED = (220, 40, 40)
YELLOW = (255, 215, 0)


def confusion_overlay(
    field: np.ndarray, truth: np.ndarray, predicted: np.ndarray, *, opacity: float = 0.45
) -> np.ndarray:
    """Tint true positives turquoise, false positives red and false negatives yellow.

    Class 0 is the background: a pixel of the right other class is a true positive, of a wrong other class a
    false positive (whatever the truth is), and one missed as background a false negative. Ignored pixels
    stay grey.

    Parameters
    ----------
    field : (H, W) float32
        On the scale of `wootz.intensity.scale`.
    truth : (H, W) uint8, 255 = ignore
    predicted : (H, W) uint8
    opacity : float in [0, 1]

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if not field.shape == truth.shape == predicted.shape:
        raise ValueError(f"shapes differ: {field.shape}, {truth.shape}, {predicted.shape}")
    valid = truth != IGNORE
    regions = (
        (valid & (predicted > 0) & (predicted == truth), TURQUOISE),
        (valid & (predicted > 0) & (predicted != truth), RED),
        (valid & (predicted == 0) & (truth > 0), YELLOW),
    )
    return tint(field, regions, opacity=opacity)


def class_overlay(
    field: np.ndarray, mask: np.ndarray, colours: dict[int, tuple[int, int, int]], *, opacity: float = 0.45
) -> np.ndarray:
    """Tint each class with its colour; a class without one stays grey.

    Parameters
    ----------
    field : (H, W) float32
    mask : (H, W) uint8
    colours : {class: (red, green, blue)}
    opacity : float in [0, 1]

    Returns
    -------
    (H, W, 3) uint8
    """
    return tint(field, [(mask == value, colour) for value, colour in colours.items()], opacity=opacity)


def heat_overlay(field: np.ndarray, heat: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """Blend a heat map over a field: nothing at `low`, opaque orange-red at `high` and above.

    Parameters
    ----------
    field, heat : (H, W) float32
    low, high : float, low < high

    Returns
    -------
    (H, W, 3) uint8
    """
    grey = np.clip(field, 0.0, 1.0)[..., None] * 255.0
    share = 0.7 * np.clip((heat - low) / (high - low), 0.0, 1.0)[..., None]
    return np.round((1.0 - share) * grey + share * np.array([255.0, 70.0, 0.0])).astype(np.uint8)


def tint(field: np.ndarray, regions, *, opacity: float) -> np.ndarray:
    """Blend a colour over each (bool mask, colour) region of a grey field; return (H, W, 3) uint8."""
    picture = np.repeat(np.clip(field, 0.0, 1.0)[..., None] * 255.0, 3, axis=2)
    for region, colour in regions:
        picture[region] = (1.0 - opacity) * picture[region] + opacity * np.asarray(colour, float)
    return np.round(picture).astype(np.uint8)
