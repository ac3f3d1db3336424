"""The verbs on toy archives: what they read, write and refuse."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from wootz.archive import Archive
from wootz.errors import ArchiveError, CheckpointError, WootzError
from wootz.fields import NewField
from wootz.finetune.config import AnomalyConfig, FinetuneConfig, PredictConfig, SegmentConfig
from wootz.finetune.quick_pick import train_quick_pick
from wootz.finetune.run_finetune import choose_labelled, finetune
from wootz.finetune.run_predict import predict

SPLITS = ["train", "train", "train", "val", "test", "test"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def archive(tmp_path) -> Archive:
    rng = np.random.default_rng(0)
    archive = Archive.create(tmp_path / "study")
    fields, masks = [], []
    for i, split in enumerate(SPLITS):
        mask = np.zeros((48, 56), np.uint8)
        mask[12 + i : 30 + i] = 1
        pixels = np.clip(60 + 120 * mask + rng.normal(0, 10, mask.shape), 0, 255).astype(np.uint8)
        fields.append(NewField(pixels, {"file": f"{i}.tif", "split": split}))
        masks.append(mask)
    archive.add_images(fields)
    classes = {"id": [0, 1], "name": ["resin", "layer"], "colour": ["#000000", "#00ff00"]}
    archive.add_classes("phases", pd.DataFrame(classes))
    for image_id, mask in zip(archive.images["image_id"], masks, strict=True):
        archive.add_mask(image_id, mask, scheme="phases", source="anna")
    return archive


def start(archive: Archive, command: str):
    return archive.start_run(command, {}, seed=0, inputs={})


def segment_config(**options) -> FinetuneConfig:
    task = SegmentConfig(steps=30, batch_size=4, crop_px=32, validate_every=15, lr=3e-3, average_decay=0.8)
    return FinetuneConfig(task=task, **{"encoder": "random:small", "precision": "float32", **options})


def test_segmentation_from_masks_to_scored_predictions(archive):
    run = start(archive, "finetune")
    report = finetune(archive, segment_config(), run=run)
    assert report.checkpoint == run.folder / "head.pt"
    assert report.scores["n_train"] == 3
    assert "val: mean IoU" in report.summary()
    assert (run.folder / "history.csv").is_file()

    second = start(archive, "predict")
    predicted = predict(archive, PredictConfig(head=run.id, overlays=2), run=second)
    assert predicted.n_images == 6
    assert set(predicted.scores) == {"train", "val", "test"}
    assert predicted.scores["test"].mean_iou > 0.8
    assert predicted.scores["test"].n_pixels == 2 * 48 * 56
    assert len(list((second.folder / "overlays").glob("*.png"))) == 2
    assert "test: mean IoU" in predicted.summary()
    test_id = archive.images["image_id"].iloc[5]
    stored = archive.mask(test_id, scheme="phases", kind="prediction", source=second.id)
    assert stored.shape == (48, 56)
    objects = archive.objects[archive.objects["image_id"] == test_id]
    assert set(objects["class"]) == {"layer"}
    assert objects["area_px"].sum() == (stored == 1).sum()


def test_test_fields_are_never_read_in_training(archive, monkeypatch):
    test_ids = set(archive.images.loc[archive.images["split"] == "test", "image_id"])
    read, mask = Archive.scaled_field, Archive.mask

    def watched(self, image_id, **options):
        assert image_id not in test_ids
        return read(self, image_id) if not options else mask(self, image_id, **options)

    monkeypatch.setattr(Archive, "scaled_field", watched)
    monkeypatch.setattr(Archive, "mask", watched)
    cfg = segment_config()
    cfg.task.steps = 1
    finetune(archive, cfg, run=start(archive, "finetune"))


def test_which_fields_are_chosen(archive):
    ids = list(archive.images["image_id"])
    assert choose_labelled(archive, segment_config(), scheme="phases") == (ids[:3], ids[3:4])
    assert choose_labelled(archive, segment_config(use_val=False), scheme="phases") == (ids[:3], [])
    two, _ = choose_labelled(archive, segment_config(n_labels=2), scheme="phases")
    assert len(two) == 2
    assert set(two) < set(ids[:3])
    assert two == choose_labelled(archive, segment_config(n_labels=2), scheme="phases")[0]
    named = choose_labelled(archive, segment_config(images=[ids[3], ids[0]]), scheme="phases")
    assert named == ([ids[3], ids[0]], [])
    archive.set_image_column("split", ids, [""] * 6)
    assert choose_labelled(archive, segment_config(), scheme="phases") == (ids, [])


def test_without_val_the_last_step_is_kept_and_no_other_mask_is_read(archive, monkeypatch):
    train = set(archive.images["image_id"][:3])
    mask = Archive.mask

    def watched(self, image_id, **options):
        assert image_id in train
        return mask(self, image_id, **options)

    monkeypatch.setattr(Archive, "mask", watched)
    cfg = segment_config(use_val=False)
    cfg.task.steps, cfg.task.validate_every = 4, 2
    scores = finetune(archive, cfg, run=start(archive, "finetune")).scores
    assert (scores["best_step"], scores["n_val"], "val" in scores) == (4, 0, False)


def test_anomaly_from_normal_fields_to_flags(archive, tmp_path):
    images = archive.images
    run = start(archive, "finetune")
    cfg = FinetuneConfig(task=AnomalyConfig(coreset=100), encoder="random:small")
    report = finetune(archive, cfg, run=run)
    assert len(report.scores["normal_scores"]) == 3
    second = start(archive, "predict")
    predicted = predict(archive, PredictConfig(head=str(report.checkpoint)), run=second)
    assert list(predicted.image_scores["image_id"]) == list(images["image_id"])
    stored = archive.images.set_index("image_id")["pred_anomaly_score"]
    heat = archive.map(images["image_id"].iloc[0], "anomaly")
    assert heat.shape == (48, 56)
    assert stored.iloc[0] == pytest.approx(heat.max(), rel=1e-5)
    flagged = predicted.image_scores["is_anomalous"].to_numpy()
    np.testing.assert_array_equal(flagged, predicted.image_scores["score"] > report.scores["threshold"])


def test_errors_name_the_remedy(archive, tmp_path):
    run = start(archive, "finetune")
    with pytest.raises(WootzError, match="its schemes: phases"):
        finetune(archive, segment_config(scheme="phase"), run=run)
    with pytest.raises(WootzError, match="see its images table"):
        finetune(archive, segment_config(images=["nobody"]), run=run)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        finetune(archive, segment_config(encoder="missing.pt"), run=run)
    with pytest.raises(WootzError, match="choose one of"):
        finetune(archive, segment_config(encoder="random:vgg"), run=run)
    with pytest.raises(CheckpointError, match="wootz finetune"):
        predict(archive, PredictConfig(), run=run)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        predict(archive, PredictConfig(head="missing.pt"), run=run)
    classes = pd.DataFrame({"id": [0, 1], "name": ["a", "b"], "colour": ["#000000", "#ffffff"]})
    archive.add_classes("empty", classes)
    with pytest.raises(WootzError, match="these schemes: empty, phases"):
        finetune(archive, segment_config(), run=run)
    with pytest.raises(WootzError, match="no field to train on"):
        finetune(archive, segment_config(scheme="empty"), run=run)


def test_an_archive_without_masks_says_what_to_add(tmp_path):
    archive = Archive.create(tmp_path / "bare")
    with pytest.raises(WootzError, match="add masks first"):
        finetune(archive, segment_config(), run=SimpleNamespace(id="finetune-1", folder=tmp_path))
    assert issubclass(ArchiveError, WootzError)


def test_quick_pick_trains_and_predicts_any_size(rng):
    fields = [rng.random((260, 240)).astype(np.float32), rng.random((100, 300)).astype(np.float32)]
    masks = [(field > 0.5).astype(np.uint8) for field in fields]
    before = torch.get_rng_state()
    picked = train_quick_pick(fields, masks, n_classes=2, downscale=2, steps=1)
    assert torch.equal(before, torch.get_rng_state())
    probability = picked.predict(fields[1][:45])
    assert probability.shape == (2, 45, 300)
    np.testing.assert_allclose(probability.sum(0), 1.0, atol=1e-5)
    assert picked.predict_mask(fields[0]).dtype == np.uint8
