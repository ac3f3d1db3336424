"""kill -9 and a full disk during an ingest: the same call again ends with the archive of an undisturbed."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import wootz
from wootz import storage
from wootz.errors import ArchiveError
from wootz.ingest import IngestConfig, ingest

# One process imports, then forks one child per moment; a child kills itself at its k-th fsync or rename.
KILLER = """
import json, os, pathlib, signal, sys
import wootz.ingest.pipeline, wootz.labels, wootz.readers, wootz.polygons
from wootz.ingest import IngestConfig, ingest

folder, out, options, moments = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])

def arm(moment):
    left = [moment]
    def counted(call):
        def wrapped(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)
        return wrapped
    os.fsync = counted(lambda descriptor: None)  # a killed process loses nothing that it has written
    pathlib.Path.replace = counted(pathlib.Path.replace)
    return left

for moment in moments:
    child = os.fork()
    if child == 0:
        left = arm(moment)
        ingest(f"{out}/{moment}", folder, IngestConfig(**options))
        pathlib.Path(f"{out}/{moment}.calls").write_text(str(moment - left[0]))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(moment, os.WTERMSIG(status) if os.WIFSIGNALED(status) else "finished", flush=True)
"""
OPTIONS = {
    "masks": "../masks/{stem}.png",
    "classes": "0:background,1:oxide",
    "tile_px": 64,
    "stride_px": 64,
    "batch_mb": 1,
}
NEVER = 10**6
N_FILES = 12


@pytest.fixture
def series(tmp_path, make) -> Path:
    """Make files for four batches, some masks, one copy and one broken file."""
    folder = tmp_path / "series"
    for n in range(N_FILES):
        make.tiff(folder / "images" / f"f{n:02d}.tif", make.texture(n % 11, (500, 512)))
        if n % 3 == 0:
            make.png(folder / "masks" / f"f{n:02d}.png", (make.texture(n, (500, 512)) > 128).astype(np.uint8))
    (folder / "images" / "f05b.tif").write_bytes(b"II*\x00 broken")
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Count on the page cache: what a power cut needs is tested with the archive."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def run_killed(folder: Path, out: Path, moments: list[int]) -> dict[str, str]:
    import json

    words = [sys.executable, "-c", KILLER, str(folder), str(out), json.dumps(OPTIONS), json.dumps(moments)]
    out.mkdir()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def assert_same(one: Path, other: Path) -> None:
    """Compare all tables but times, the pixels and masks, and the layout of the shards (not their names)."""
    a, b = wootz.open(one), wootz.open(other)
    shards = [{shard["file"]: n for n, shard in enumerate(x.store.manifest["shards"])} for x in (a, b)]
    numbered = [x.images.assign(shard=x.images["shard"].map(n)) for x, n in zip((a, b), shards, strict=True)]
    pd.testing.assert_frame_equal(*numbered)
    pd.testing.assert_frame_equal(a.tile_table, b.tile_table)
    pd.testing.assert_frame_equal(a.set_aside.drop(columns="when"), b.set_aside.drop(columns="when"))
    pd.testing.assert_frame_equal(a.classes("series"), b.classes("series"))
    masks = ["image_id", "scheme", "source", "classes_drawn", "sha256"]
    pd.testing.assert_frame_equal(a.annotations[masks], b.annotations[masks])
    sizes = [[(shard["bytes"], shard["dtype"]) for shard in x.store.manifest["shards"]] for x in (a, b)]
    assert sizes[0] == sizes[1]
    for image_id in a.images["image_id"]:
        np.testing.assert_array_equal(a.field(image_id), b.field(image_id))
    assert {f"pixels/{p.name}" for p in (other / "pixels").iterdir()} == set(shards[1])  # no leftovers


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("n_moments", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_kill_at_many_moments(tmp_path, series, n_moments):
    reference = tmp_path / "reference"
    ingest(reference, series, IngestConfig(**OPTIONS))
    assert len({shard["file"] for shard in wootz.open(reference).store.manifest["shards"]}) >= 4
    assert run_killed(series, tmp_path / "whole", [NEVER]) == {str(NEVER): "finished"}
    n_calls = int((tmp_path / "whole" / f"{NEVER}.calls").read_text())
    moments = sorted({int(m) for m in np.linspace(2, n_calls, n_moments)})
    outcome = run_killed(series, tmp_path / "killed", moments)
    assert set(outcome.values()) == {"9"}
    n_before = []
    for moment in moments:
        path = tmp_path / "killed" / str(moment)
        n_before.append(len(wootz.open(path).images) if (path / "manifest.json").exists() else 0)
        report = ingest(path, series, IngestConfig(**OPTIONS))
        assert report.n_added + report.n_known == N_FILES
        assert report.n_added == N_FILES - n_before[-1]
        assert_same(reference, path)
    assert any(0 < n < N_FILES for n in n_before)  # some were killed in the middle of it


def test_full_disk_then_room_again(tmp_path, series, monkeypatch):
    reference = tmp_path / "reference"
    ingest(reference, series, IngestConfig(**OPTIONS))
    room = [2_500_000]

    def write(descriptor, data):
        room[0] -= len(data)
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(descriptor, data)

    proxy = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
    proxy.write = write
    monkeypatch.setattr(storage, "os", proxy)
    with pytest.raises(
        ArchiveError, match=r"disk full while writing .*; nothing was lost.* same command again"
    ):
        ingest(tmp_path / "a", series, IngestConfig(**OPTIONS))
    n_kept = len(wootz.open(tmp_path / "a").images)
    assert 0 < n_kept < N_FILES
    room[0] = 10**9
    report = ingest(tmp_path / "a", series, IngestConfig(**OPTIONS))
    assert (report.n_known, report.n_added) == (n_kept, N_FILES - n_kept)
    assert_same(reference, tmp_path / "a")


@pytest.mark.skipif(shutil.which("mount") is None or not hasattr(os, "geteuid"), reason="needs mount")
def test_really_full_disk(tmp_path, series):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        with pytest.raises(ArchiveError, match="disk full while writing"):
            ingest(disk / "a", series, IngestConfig(**OPTIONS))
        n_kept = len(wootz.open(disk / "a").images)
        assert 0 < n_kept < N_FILES
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert ingest(disk / "a", series, IngestConfig(**OPTIONS)).n_added == N_FILES - n_kept
        ingest(tmp_path / "reference", series, IngestConfig(**OPTIONS))
        assert_same(tmp_path / "reference", disk / "a")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
