"""From three colour channels to one: a stem that answers a grey image as the colour stem answers it."""

import torch
from torch import Tensor

FIGURES = {  # mean and standard deviation of each channel, by the names in `wootz.encoder_names`
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def grey_stem(kernels: Tensor, *, normalisation: str) -> tuple[Tensor, Tensor]:
    """Fold three channels and their normalisation into one channel.

    Parameters
    ----------
    kernels : (C, 3, h, w) float
        Weights of the stem's convolution.
    normalisation : str
        What the network was given of x in [0, 1]: ``"imagenet"`` (x - mean) / std with torchvision's figures,
        ``"half"`` the same with .5 and .5, ``"none"`` x itself.

    Returns
    -------
    kernel : (C, 1, h, w)
    offset : (C,)
        To be subtracted from the response of `kernel`.

    Notes
    -----
    With mean m and deviation s of channel c, a grey image x gives

    ``sum_c w_c * ((x - m_c) / s_c) = (sum_c w_c / s_c) * x - sum_c (m_c / s_c) sum(w_c)``.

    The second term is a constant only where the kernel lies within the image. A stem that pads with zeros
    (ResNet, 3 px) pads the normalised image, that is with the mean colour, and ours with 0: the response
    differs in the outermost two places of its map. Without normalisation, or without padding (ViT, ConvNeXt
    on whole patches), it is equal everywhere.
    """
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in FIGURES[normalisation])
    scaled = kernels.double() / std
    kernel = scaled.sum(dim=1, keepdim=True)
    return kernel.to(kernels.dtype), (scaled * mean).sum(dim=(1, 2, 3)).to(kernels.dtype)
