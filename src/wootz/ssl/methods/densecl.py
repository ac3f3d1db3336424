"""DenseCL: contrast places within a tile as well as tiles, for features that segment."""

import copy

import torch
from lightly.models.modules.heads import DenseCLProjectionHead
from lightly.models.utils import deactivate_requires_grad, select_most_similar, update_momentum
from torch import Tensor, nn
from torch.nn.functional import normalize

from wootz.errors import WootzError
from wootz.ssl.methods.keys import KeyQueue, encode_in_parts, info_nce
from wootz.ssl.methods.options import DenseCLConfig
from wootz.ssl.methods.precision import at_least_float32
from wootz.ssl.views import TileBatch


class DenseCL(nn.Module):
    """Encoder with a global and a dense head, slow copies of them for the keys, and two queues.

    Parameters
    ----------
    encoder : nn.Module
        With ``dim`` and ``feature_maps(x)``, whose last map (B, dim, h, w) is contrasted.
    cfg : DenseCLConfig
    queue : int
        Length of both queues.
    generator : torch.Generator
        Fills the queues before the first keys arrive.

    Raises
    ------
    WootzError
        If the encoder gives no feature maps.

    Notes
    -----
    A place in the first view belongs to the place in the second whose encoder features are most similar; its
    negatives are the mean dense keys of earlier tiles. lightly's examples encode the keys with the query
    network and put every place into the queue; here keys come from the slow copy, and the queue holds one
    mean per tile, as in the paper. With views of 96 px a map has 3 x 3 places: larger views give the dense
    loss more to do.

    References
    ----------
    Wang et al. 2021, arXiv:2011.09157, equations 1 to 4.
    """

    def __init__(
        self, encoder: nn.Module, cfg: DenseCLConfig, *, queue: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        if not hasattr(encoder, "feature_maps"):
            raise WootzError("method=densecl needs an encoder with feature maps; set encoder=resnet18.")
        dim: int = encoder.dim  # type: ignore[assignment]
        hidden = cfg.hidden_dim or dim
        self.cfg = cfg
        self.encoder = encoder
        self.head = DenseCLProjectionHead(dim, hidden, cfg.output_dim)
        self.dense_head = DenseCLProjectionHead(dim, hidden, cfg.output_dim)
        self.key_encoder = copy.deepcopy(encoder)
        self.key_head = copy.deepcopy(self.head)
        self.key_dense_head = copy.deepcopy(self.dense_head)
        for module in (self.key_encoder, self.key_head, self.key_dense_head):
            deactivate_requires_grad(module)
        self.queue = KeyQueue(queue, cfg.output_dim, generator=generator)
        self.dense_queue = KeyQueue(queue, cfg.output_dim, generator=generator)

    def views(self, batch: TileBatch) -> tuple[Tensor, ...]:
        """Draw two views of each tile."""
        return batch.two_views()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute the loss of two views (B, 1, H, W) and put the keys of the second into the queues."""
        query, query_dense, query_places = _encode(first, self.encoder, heads=(self.head, self.dense_head))
        key_heads = (self.key_head, self.key_dense_head)
        with torch.no_grad():
            key, key_dense, key_places = encode_in_parts(
                second,
                lambda part: _encode(part, self.key_encoder, heads=key_heads),
                n_parts=self.cfg.key_groups,
            )
            partners = select_most_similar(query_places, key_places, key_dense)
        with torch.autocast(first.device.type, enabled=False):
            in_tiles = info_nce(
                normalize(query, dim=1),
                normalize(key, dim=1),
                negatives=self.queue.negatives(),
                temperature=self.cfg.temperature,
            )
            in_places = info_nce(
                normalize(query_dense.flatten(0, 1), dim=1),
                normalize(partners.flatten(0, 1), dim=1),
                negatives=self.dense_queue.negatives(),
                temperature=self.cfg.temperature,
            )
        self.queue.push(normalize(key, dim=1))
        self.dense_queue.push(normalize(key_dense.mean(dim=1), dim=1))
        return (1 - self.cfg.dense_weight) * in_tiles + self.cfg.dense_weight * in_places

    def update(self, progress: float) -> None:  # noqa: ARG002
        """Let the key encoder and its heads follow by a constant momentum."""
        update_momentum(self.encoder, self.key_encoder, m=self.cfg.momentum)
        update_momentum(self.head, self.key_head, m=self.cfg.momentum)
        update_momentum(self.dense_head, self.key_dense_head, m=self.cfg.momentum)


def _encode(
    views: Tensor, encoder: nn.Module, *, heads: tuple[nn.Module, nn.Module]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the projection (B, D), dense projections (B, places, D) and features (B, places, dim)."""
    features = encoder.feature_maps(views)[-1].flatten(2).transpose(1, 2)  # type: ignore[operator]
    features = at_least_float32(features)
    projection, dense = heads[0](features.mean(dim=1)), heads[1](features)
    return at_least_float32(projection), at_least_float32(dense), features
