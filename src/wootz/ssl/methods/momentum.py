"""How slowly a copy of the network follows."""

import math


def rising_momentum(start: float, *, progress: float) -> float:
    """Return the momentum of a slow copy, which rises from `start` to 1 along a half cosine.

    Parameters
    ----------
    start : float
        Momentum at the start of the training, in [0, 1).
    progress : float
        Part of the training that is done; above 1 counts as 1.

    References
    ----------
    Grill et al. 2020, arXiv:2006.07733, section 3.2.
    """
    return 1 - (1 - start) * (math.cos(math.pi * min(progress, 1.0)) + 1) / 2
