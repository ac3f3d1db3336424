"""DINO: a student's views of a tile learn the sharpened, centred output of a slow teacher."""

import copy
import warnings

import torch
from lightly.loss import DINOLoss
from lightly.models.modules.heads import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from wootz.ssl.methods.momentum import rising_momentum
from wootz.ssl.methods.multicrop import multi_crop
from wootz.ssl.methods.options import DINOConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class DINO(nn.Module):
    """Student and teacher, each an encoder and a head; the teacher follows and sees only global views.

    Notes
    -----
    The centre is that of the batches of all processes and part of the state dict. The paper also lets the
    weight decay rise from .04 to .4 and the teacher's temperature from .04 to .07; here both stay.
    A loss that stays at ln(output_dim) says that the student answers the same for every tile: train longer,
    or make the views more alike.

    References
    ----------
    Caron et al. 2021, arXiv:2104.14294, equations 1 to 4 and algorithm 1.
    """

    done: Tensor

    def __init__(self, encoder: nn.Module, cfg: DINOConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = encoder
        self.head = _head(encoder, cfg)
        self.teacher_encoder = copy.deepcopy(encoder)
        self.teacher_head = _head(encoder, cfg)  # its weight norm cannot be copied
        self.teacher_head.load_state_dict(self.head.state_dict())
        deactivate_requires_grad(self.teacher_encoder)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = DINOLoss(
            cfg.output_dim, student_temp=cfg.temperature, center_momentum=cfg.centre_momentum
        )
        self.register_buffer("done", torch.zeros(()))
        direction: nn.Parameter = self.head.last_layer.weight_v  # type: ignore[assignment]
        direction.register_hook(lambda grad: grad * (self.done >= cfg.freeze_frac))

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two global and some local views of each tile."""
        return multi_crop(batch, self.cfg.local)

    def forward(self, first: Tensor, second: Tensor, *local: Tensor) -> Tensor:
        """Compute the loss of two global views (B, 1, H, W) and any number of local ones (B, 1, h, w)."""
        n = len(first)
        large = torch.cat([first, second])
        groups = [large] + ([torch.cat(local)] if local else [])
        student = torch.cat([at_least_float32(self.head(self.encoder(group))) for group in groups])
        with torch.no_grad():
            teacher = at_least_float32(self.teacher_head(self.teacher_encoder(large)))
        with torch.autocast(student.device.type, enabled=False):
            return self.criterion(
                list(teacher.split(n)), list(student.split(n)), teacher_temp=self.cfg.teacher_temperature
            )

    @torch.no_grad()
    def update(self, progress: float) -> None:
        """Let the teacher follow, with a momentum that rises to 1, and note when the last layer may move."""
        momentum = rising_momentum(self.cfg.momentum, progress=progress)
        update_momentum(self.encoder, self.teacher_encoder, m=momentum)
        update_momentum(self.head, self.teacher_head, m=momentum)
        self.done.fill_(progress)


def _head(encoder: nn.Module, cfg: DINOConfig) -> DINOProjectionHead:
    dim: int = encoder.dim  # type: ignore[assignment]
    hidden = cfg.hidden_dim or 2 * dim
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.nn.utils.weight_norm`", FutureWarning)
        return DINOProjectionHead(dim, hidden, cfg.bottleneck_dim, cfg.output_dim, batch_norm=cfg.batch_norm)
