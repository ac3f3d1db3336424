import dataclasses

import numpy as np
import pytest
import torch

from wootz.encoders import build_encoder, save_encoder
from wootz.errors import CheckpointError, WootzError
from wootz.finetune import loop
from wootz.finetune.config import SegmentConfig
from wootz.finetune.scores import confusion_counts, scores_from_counts
from wootz.finetune.segment import train_segmenter
from wootz.finetune.segmenter import Segmenter, load_segmenter
from wootz.finetune.unet import build_unet, decoder_channels

NAMES = ["resin", "layer"]


def layered_field(
    rng: np.random.Generator, height: int = 64, width: int = 72
) -> tuple[np.ndarray, np.ndarray]:
    """A bright layer across a dark field, under a random grey look."""
    row = np.arange(height)[:, None] + 3 * np.sin(np.arange(width) / 9.0)[None]
    top = rng.integers(10, 30)
    mask = ((row >= top) & (row < top + 20)).astype(np.uint8)
    field = rng.uniform(0.1, 0.3) + rng.uniform(0.3, 0.6) * mask + rng.normal(0, 0.05, mask.shape)
    return field.astype(np.float32), mask


def some_fields(rng: np.random.Generator, n: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    fields, masks = zip(*[layered_field(rng) for _ in range(n)], strict=True)
    return list(fields), list(masks)


def small_config(**options) -> SegmentConfig:
    given = {"steps": 6, "batch_size": 2, "crop_px": 32, "validate_every": 2, "lr": 3e-3, **options}
    return SegmentConfig(**given)


def train(labelled, cfg, folder, **options):
    given = {"class_names": NAMES, "encoder": "random:small", "precision": "float32", **options}
    return train_segmenter(*labelled, cfg, folder=folder, **given)


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small lose more by waiting for a second thread than they gain."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def untrained() -> Segmenter:
    network = build_unet(build_encoder("small", generator_seed=0), n_classes=3, seed=0)
    with torch.no_grad():
        network.head.weight.normal_(generator=torch.Generator().manual_seed(1))
    return Segmenter(network, ("a", "b", "c"), 1, 32, flip_rows=True, precision="float32", provenance={})


def test_learns_a_layer_and_chooses_the_step_on_val(tmp_path):
    rng = np.random.default_rng(0)
    cfg = small_config(steps=40, batch_size=4, validate_every=10, downscale=2, average_decay=0.8)
    result = train(some_fields(rng, 4), cfg, tmp_path, val=some_fields(rng, 2))
    assert result.val_scores is not None
    judged = result.history
    assert list(judged["step"]) == [10, 20, 30, 40]
    assert result.best_step == judged["step"][judged["val_mean_iou"].idxmax()]
    assert result.val_scores.mean_iou == pytest.approx(judged["val_mean_iou"].max())
    segmenter = load_segmenter(result.checkpoint)
    field, mask = layered_field(rng, 61, 45)
    predicted = segmenter.predict_mask(field)
    assert (
        scores_from_counts(confusion_counts(mask, predicted, n_classes=2), class_names=NAMES).mean_iou > 0.8
    )
    assert segmenter.provenance["start"] == "random:small"


def test_same_seed_same_weights_other_seed_others(tmp_path, rng):
    labelled = some_fields(rng, 2)
    losses = [
        train(labelled, small_config(steps=2), tmp_path / name, seed=seed).history["loss"].to_numpy()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert (losses[0] != losses[2]).all()


def test_a_killed_training_goes_on_where_it_was(tmp_path, rng, monkeypatch):
    labelled, val = some_fields(rng, 2), some_fields(rng, 1)
    whole = train(labelled, small_config(), tmp_path / "whole", val=val)
    steps = []
    step = loop.SegmentTraining.training_step

    def killed(self, batch, batch_idx):
        steps.append(self.global_step)
        if self.global_step == 5 and len(steps) == 6:
            raise SystemExit
        return step(self, batch, batch_idx)

    monkeypatch.setattr(loop.SegmentTraining, "training_step", killed)
    with pytest.raises(SystemExit):
        train(labelled, small_config(), tmp_path / "cut", val=val)
    resumed = train(labelled, small_config(), tmp_path / "cut", val=val)
    assert steps == [0, 1, 2, 3, 4, 5, 4, 5]
    np.testing.assert_allclose(resumed.history["loss"], whole.history["loss"], rtol=1e-6)
    assert resumed.best_step == whole.best_step
    ours, theirs = (load_segmenter(r.checkpoint).network.state_dict() for r in (resumed, whole))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_checkpoint_of_other_labels_is_refused(tmp_path, rng):
    labelled = some_fields(rng, 2)
    train(labelled, small_config(steps=2), tmp_path)
    with pytest.raises(CheckpointError, match="other options or other labels"):
        train(some_fields(rng, 2), small_config(steps=2), tmp_path)


def test_running_mean_follows_the_weights_step_by_step():
    networks = [build_unet(build_encoder("small", generator_seed=i), n_classes=2, seed=i) for i in range(3)]
    average, first, second = networks
    start = average.head.weight.clone()
    loop.update_average(average, first, decay=0.9, step=1000)
    loop.update_average(average, second, decay=0.9, step=1001)
    expected = 0.81 * start + 0.09 * first.head.weight + 0.1 * second.head.weight
    torch.testing.assert_close(average.head.weight, expected)
    loop.update_average(average, first, decay=0.0, step=1002)
    torch.testing.assert_close(average.head.weight, first.head.weight)


def test_learning_rate_rises_and_falls_once():
    heights = np.array([loop.learning_rate_height(p) for p in np.linspace(0, 1, 101)])
    assert heights.argmax() == 15
    assert heights[15] == pytest.approx(1.0)
    assert (np.diff(heights[:16]) > 0).all()
    assert (np.diff(heights[15:]) < 0).all()
    assert heights[0] == pytest.approx(0.04)
    assert heights[-1] == pytest.approx(1e-3)


def test_pretrained_encoder_is_where_training_starts(tmp_path, rng):
    encoder = build_encoder("small", generator_seed=9)
    save_encoder(tmp_path / "encoder.pt", encoder, provenance={})
    cfg = small_config(steps=1, lr=1e-8, weight_decay=0.0)
    result = train(some_fields(rng, 2), cfg, tmp_path, encoder=str(tmp_path / "encoder.pt"))
    loaded = load_segmenter(result.checkpoint).network.encoder
    torch.testing.assert_close(
        loaded.layer3[0].conv1.weight, encoder.layer3[0].conv1.weight, atol=1e-6, rtol=0
    )


def test_encoder_lr_factor_zero_freezes_the_encoder(tmp_path, rng):
    cfg = small_config(steps=2, encoder_lr_factor=0.0)
    result = train(some_fields(rng, 2), cfg, tmp_path)
    network = load_segmenter(result.checkpoint).network
    fresh = build_encoder("small", generator_seed=0)
    assert torch.equal(network.encoder.layer1[0].conv1.weight, fresh.layer1[0].conv1.weight)


@pytest.mark.parametrize(
    ("start", "n_fields", "asked", "expected"),
    [
        ("pretrained", 2, None, 0.1),
        ("pretrained", 3, None, 1.0),
        ("random", 2, None, 1.0),
        ("pretrained", 2, 0.5, 0.5),
    ],
)
def test_a_pretrained_encoder_learns_slowly_from_few_fields(tmp_path, rng, start, n_fields, asked, expected):
    encoder = build_encoder("small", generator_seed=5)
    save_encoder(tmp_path / "encoder.pt", encoder, provenance={})
    source = "random:small" if start == "random" else str(tmp_path / "encoder.pt")
    cfg = small_config(steps=1, encoder_lr_factor=asked, weight_decay=0.0)
    result = train(some_fields(rng, n_fields), cfg, tmp_path / "run", encoder=source)
    assert load_segmenter(result.checkpoint).provenance["task"]["encoder_lr_factor"] == expected
    assert cfg.encoder_lr_factor is asked
    content = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)
    slow, fast = (group["base_lr"] for group in content["optimizer_states"][0]["param_groups"])
    assert slow == pytest.approx(expected * fast)


@pytest.mark.parametrize("shape", [(32, 32), (70, 45), (9, 100), (5, 5)])
@pytest.mark.parametrize("downscale", [1, 3])
def test_probabilities_of_any_size_sum_to_one(untrained, rng, shape, downscale):
    segmenter = dataclasses.replace(untrained, downscale=downscale)
    probability = segmenter.predict(rng.random(shape).astype(np.float32))
    assert probability.shape == (3, *shape)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(0), 1.0, atol=1e-4)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_flip_average_commutes_with_flips(untrained, rng, axes):
    field = rng.random((32, 32)).astype(np.float32)
    straight = untrained.predict(field)
    turned = untrained.predict(np.flip(field, axes).copy())
    np.testing.assert_allclose(np.flip(turned, [a + 1 for a in axes]), straight, atol=1e-4)
    assert np.abs(untrained.predict(field, flips=False) - straight).max() > 1e-3


def test_a_window_of_a_large_field_agrees_with_the_field_alone(untrained, rng):
    """One window without overlap is the network itself."""
    field = rng.random((32, 32)).astype(np.float32)
    with torch.inference_mode():
        direct = untrained.network.eval()(torch.from_numpy(field)[None, None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(untrained.predict(field, flips=False), direct, atol=1e-5)


def test_bad_fields_are_refused(untrained):
    with pytest.raises(ValueError, match="finite"):
        untrained.predict(np.full((40, 40), np.nan, np.float32))
    with pytest.raises(ValueError, match="finite"):
        untrained.predict(np.zeros((4, 40, 40), np.float32))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f, m: ([], []), "no labelled fields"),
        (lambda f, m: (f, [x[:-1] for x in m]), "must be equal"),
        (lambda f, m: (f, [x * 0 for x in m]), "hold 1 class"),
        (lambda f, m: (f, [x * 0 + 255 for x in m]), "hold 0 class"),
        (lambda f, m: (f, [x * 5 for x in m]), "class 5"),
        (lambda f, m: ([x * np.nan for x in f], m), "NaN or infinity"),
    ],
)
def test_bad_labels_are_explained(tmp_path, rng, spoil, message):
    with pytest.raises(WootzError, match=message):
        train(spoil(*some_fields(rng, 2)), small_config(), tmp_path)


def test_nan_loss_stops_with_a_remedy(tmp_path, rng, monkeypatch):
    monkeypatch.setattr(loop, "dice_cross_entropy", lambda logits, target, weights: logits.sum() * torch.nan)
    with pytest.raises(WootzError, match="lower lr, or set precision=float32"):
        train(some_fields(rng, 2), small_config(), tmp_path)


def test_checkpoint_errors(tmp_path, untrained):
    from wootz.finetune.segmenter import save_segmenter

    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_segmenter(tmp_path / "missing.pt")
    path = tmp_path / "head.pt"
    save_segmenter(path, untrained)
    content = torch.load(path)
    torch.save({**content, "encoder": "resnet18"}, path)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_segmenter(path)
    torch.save({**content, "intensity": "divided by 255"}, path)
    with pytest.raises(CheckpointError, match="another intensity scale"):
        load_segmenter(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="truncated"):
        load_segmenter(path)
    save_encoder(path, build_encoder("small"), provenance={})
    with pytest.raises(CheckpointError, match="task=segment"):
        load_segmenter(path)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        train(
            ([np.zeros((40, 40), np.float32)], [np.eye(40, dtype=np.uint8)]),
            small_config(),
            tmp_path,
            encoder=str(tmp_path / "gone.pt"),
        )


def test_time_limit_ends_the_schedule(tmp_path, rng):
    cfg = small_config(steps=10_000, max_minutes=0.01, validate_every=1000)
    result = train(some_fields(rng, 2), cfg, tmp_path)
    assert 0 < result.best_step < 1000
    assert result.history["step"].iloc[-1] == result.best_step


def test_unknown_choices_are_refused():
    with pytest.raises(WootzError, match="class_weights"):
        SegmentConfig(class_weights="inverse")
    with pytest.raises(WootzError, match="crop_px"):
        SegmentConfig(crop_px=8)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("resnet18", (256, 128, 64, 32, 16)),
        ("small", (128, 64, 32, 16, 16)),
        ("vit_s16", (256, 128, 64, 32, 16)),
        ("swin24", (192, 96, 48, 24, 16)),
    ],
)
def test_unet_takes_any_encoder_and_any_size(name, channels):
    network = build_unet(build_encoder(name, generator_seed=0), n_classes=3, seed=0)
    assert decoder_channels(network.encoder.channels) == channels
    with torch.inference_mode():
        assert network.eval()(torch.rand(2, 1, 45, 70)).shape == (2, 3, 45, 70)
