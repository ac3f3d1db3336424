"""Recognise a training that loses its features, and say what to change."""

from wootz.errors import WootzError

COLLAPSED_STD = 0.02
COLLAPSED_RANKME = 1.05
SHRUNK_FRAC = 0.5
LOST_FRAC = 0.25
ADVICE = {
    "byol": "lower lr, raise method.momentum or batch_size, or take method=simclr",
    "moco": "lower lr, or raise method.momentum",
    "mocov3": "lower lr, or raise method.momentum",
    "densecl": "lower lr, or raise method.momentum",
    "vicreg": "raise method.variance_weight and method.covariance_weight, or lower lr",
    "swav": "lower lr, lower method.epsilon, or take fewer method.prototypes",
    "dino": "lower lr or method.teacher_temperature, or raise method.momentum",
    "gapfill": "lower lr, or raise method.mask_frac",
}
DEFAULT_ADVICE = "lower lr, or raise batch_size"


def check_collapse(*, std: float, rank: float, method: str, epoch: int) -> None:
    """Raise `WootzError` where all tiles look alike to the encoder.

    Notes
    -----
    Bounds (spread 0.02, rank 1.05) lie far below what random weights give on micrographs (above 0.1 and 2).
    """
    if std >= COLLAPSED_STD and rank >= COLLAPSED_RANKME:
        return
    raise WootzError(
        f"pretraining collapsed after epoch {epoch}: all tiles have nearly the same features (spread "
        f"{std:.2g}, RankMe {rank:.2f}); {ADVICE.get(method, DEFAULT_ADVICE)}. If the tiles themselves look "
        "alike, add other images."
    )


class RankGuard:
    """Watches RankMe for dimensional collapse: features that still differ, but along fewer and fewer axes.

    Parameters
    ----------
    start : float
        RankMe of random weights.
    method : str
        Name of the method, for the advice.

    Notes
    -----
    A training may dip in its first epochs, so that one low value warns (below half of the highest so far) and
    only two in a row below a quarter of that of random weights stop the run.

    References
    ----------
    Jing et al. 2022, arXiv:2110.09348 (dimensional collapse).
    """

    def __init__(self, start: float, *, method: str) -> None:
        self.start = start
        self.method = method
        self.highest = start
        self.n_lost = 0

    def judge(self, rank: float, *, epoch: int) -> str:
        """Take in the value after an epoch and return a warning, or "" where there is none.

        Raises
        ------
        WootzError
            If most dimensions are lost for good.
        """
        self.n_lost = self.n_lost + 1 if rank < LOST_FRAC * self.start else 0
        shrunk = rank < SHRUNK_FRAC * self.highest
        self.highest = max(self.highest, rank)
        advice = ADVICE.get(self.method, DEFAULT_ADVICE)
        if self.n_lost >= 2:
            raise WootzError(
                f"pretraining lost its dimensions by epoch {epoch}: RankMe is {rank:.1f}, random weights had "
                f"{self.start:.1f}; {advice}."
            )
        if shrunk:
            return (
                f"epoch {epoch}: RankMe fell to {rank:.1f} from {self.highest:.1f}, the features use fewer "
                f"dimensions; if it stays so, {advice}."
            )
        return ""

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run needs."""
        return {"start": self.start, "highest": self.highest, "n_lost": self.n_lost}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up what `state_dict` returned."""
        self.start, self.highest, self.n_lost = state["start"], state["highest"], int(state["n_lost"])
