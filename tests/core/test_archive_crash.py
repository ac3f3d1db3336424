"""The power goes between any two system calls, the disk is full at any write, kill -9: nothing is lost."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from wootz import oplog, storage
from wootz.archive import Archive
from wootz.errors import ArchiveError
from wootz.fields import NewField
from wootz.manifest import listed_files

COUNTED = ("open", "write", "writev", "fsync", "ftruncate", "lseek")


def tear(descriptor: int, data) -> None:
    """Write the first half."""
    os.write(descriptor, memoryview(data).cast("B")[: len(data) // 2])


WRITES = {"write": tear, "writev": lambda descriptor, parts: tear(descriptor, b"".join(parts))}


class PowerCut(BaseException):
    """Nothing catches this but the test."""


class Machine:
    """Counts the system calls of wootz.storage and dies at one of them, for good.

    `torn` makes the last write leave half of its bytes; `full` raises ENOSPC instead of dying, once.
    """

    def __init__(self, monkeypatch, *, full: bool = False):
        self.left = 10**9
        self.n_calls = 0
        self.calls: list[tuple[str, str]] = []
        self.full = full
        self.dead = False
        real = {name: getattr(os, name) for name in COUNTED}
        real["fsync"] = lambda descriptor: (
            None
        )  # counted and ordered here; waiting for the disk shows nothing
        proxy = SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
        for name in COUNTED:
            setattr(proxy, name, self._counted(name, real[name]))
        monkeypatch.setattr("wootz.hugefile.PIECE_BYTES", 1024)  # a field is several pieces
        monkeypatch.setattr(storage, "os", proxy)
        monkeypatch.setattr(oplog, "os", proxy)
        for name in ("replace", "unlink"):
            monkeypatch.setattr(pathlib.Path, name, self._counted(name, getattr(pathlib.Path, name)))

    def _counted(self, name, real):
        def call(*args, **kwargs):
            if self.dead:
                raise PowerCut
            self.n_calls += 1
            self.calls.append((name, str(args[0])))
            if self.full:
                # a full disk refuses what needs room, and gives names and deletes as before
                if name in WRITES and self.n_calls >= self.left:
                    WRITES[name](*args)
                    raise OSError(errno.ENOSPC, "No space left on device")
            elif self.n_calls >= self.left:
                self.dead = True
                if name in WRITES:
                    WRITES[name](*args)
                raise PowerCut
            return real(*args, **kwargs)

        return call

    def revive(self):
        self.left, self.dead, self.n_calls = 10**9, False, 0


def pixels(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if seed % 2 else np.uint16
    return rng.integers(0, 200, (40 + seed, 50), dtype=dtype)


def fields(*seeds):
    return [NewField(pixels(s), {"file": f"{s}.tif", "hv_kv": float(s)}, {"seed": s}) for s in seeds]


def one_image(archive):
    archive.add_images(fields(1, 2))


def two_batches(archive):
    archive.add_images(fields(1, 2), set_aside=[("bad.tif", "unreadable")])
    archive.add_images(fields(2, 3, 4))


def everything(archive):
    one_image(archive)
    image_id = archive.images["image_id"].iloc[0]
    archive.write_tiles(16, 16)
    ids = archive.tile_table["tile_id"].to_numpy()
    features = np.arange(len(ids) * 3, dtype=np.float32).reshape(-1, 3)
    archive.add_embedding("e", ids, features, {"encoder_fingerprint": "f"})
    archive.set_tile_column("label", ids[:2], ["a", "b"])
    mask = np.zeros(pixels(1).shape, np.uint8)
    archive.add_mask(image_id, mask, scheme="s", source="me")
    archive.add_mask(image_id, mask + 1, scheme="s", source="me")
    archive.add_measurements(pd.DataFrame([{"quantity": "q", "value": 1.0, "unit": "nm"}]))


def assert_sound(archive):
    assert archive.check().empty
    for row in archive.images.to_dict("records"):
        seed = int(row["file"].split(".")[0])
        np.testing.assert_array_equal(archive.field(row["image_id"]), pixels(seed))
        assert archive.raw_tags(row["image_id"]) == {"seed": seed}


def assert_no_leftovers(archive):
    there = {
        p
        for folder in ("tables", "pixels", "masks", "embeddings")
        for p in archive.path.glob(f"{folder}/**/*")
    }
    assert {p for p in there if p.is_file()} <= set(listed_files(archive.path, archive.store.manifest))


@pytest.mark.parametrize(
    ("work", "step"),
    [
        (one_image, 3),
        pytest.param(one_image, 1, marks=pytest.mark.slow),
        pytest.param(two_batches, 1, marks=pytest.mark.slow),
        pytest.param(everything, 1, marks=pytest.mark.slow),
    ],
)
def test_power_cut_between_any_two_calls(work, step, tmp_path, monkeypatch):
    machine = Machine(monkeypatch)
    work(Archive.create(tmp_path / "whole"))
    whole = Archive(tmp_path / "whole")
    n_calls = machine.n_calls
    assert n_calls > 30
    for cut in range(1, n_calls + 1, step):
        path = tmp_path / f"cut{cut}"
        machine.revive()
        machine.left = cut
        with pytest.raises(PowerCut):
            work(Archive.create(path))
        machine.revive()
        # whatever the moment was: what is there is sound, and the same work again ends where it would have
        archive = Archive.create(path)
        assert_sound(archive)
        assert len(archive.images) in {0, 2, len(whole.images)}
        work(archive)
        assert_sound(archive)
        assert_no_leftovers(archive)
        pd.testing.assert_frame_equal(
            archive.images.drop(columns=["shard"]), whole.images.drop(columns=["shard"])
        )
        pd.testing.assert_frame_equal(archive.tile_table, whole.tile_table)
        assert archive.embedding_names() == whole.embedding_names()


def refusal(work) -> str:
    """Do the work; return the message of the `ArchiveError` that it raises, or nothing."""
    try:
        work()
    except ArchiveError as error:
        return str(error)
    return ""


def test_disk_full_at_any_write(tmp_path, monkeypatch):
    machine = Machine(monkeypatch, full=True)
    Archive.create(tmp_path / "count").add_images(fields(1, 2))
    n_calls = machine.n_calls
    archive = Archive.create(tmp_path / "a")
    archive.add_images(fields(3))
    before = archive.images
    refused = 0
    for moment in range(1, n_calls + 1):
        machine.revive()
        machine.left = moment
        message = refusal(lambda: archive.add_images(fields(1, 2)))
        if message:
            refused += 1
            assert "disk full" in message
            assert "run the same command again" in message
        machine.revive()
        after = Archive(tmp_path / "a")
        if len(after.images) != len(before):
            break
        pd.testing.assert_frame_equal(after.images, before)
        assert_sound(after)
        assert not list((tmp_path / "a").rglob("*.tmp")), "a full disk must not keep our refuse"
    assert refused >= 5  # two shards, two tables, the manifest
    archive.add_images(fields(1, 2))
    assert len(archive.images) == 3
    assert_sound(archive)
    assert_no_leftovers(archive)


def test_every_rename_follows_an_fsync_and_is_followed_by_one(tmp_path, monkeypatch):
    archive = Archive.create(tmp_path / "a")
    machine = Machine(monkeypatch)
    archive.add_images(fields(1, 2))
    names = [name for name, _ in machine.calls]
    renames = [i for i, name in enumerate(names) if name == "replace"]
    assert len(renames) >= 5  # two shards, images, tags, manifest
    for i in renames:
        assert names[i - 1] == "fsync"
        assert names[i + 1 : i + 3] == ["open", "fsync"]  # the folder
    assert "manifest.json" in machine.calls[renames[-1]][1]


def test_failed_fsync_after_the_last_rename_keeps_the_new_files(tmp_path, monkeypatch):
    archive = Archive.create(tmp_path / "a")
    real = storage.sync_folder

    def sync(folder):
        if folder == archive.path:
            raise OSError(errno.EIO, "Input/output error")
        real(folder)

    monkeypatch.setattr(storage, "sync_folder", sync)
    with pytest.raises(OSError, match="Input/output"):
        archive.add_images(fields(1))
    monkeypatch.undo()
    assert_sound(Archive(archive.path))


def stop_half_way(archive):
    with archive.transaction():
        archive.add_images(fields(2))
        assert len(archive.images) == 2
        archive.write_tiles(16, 16)
        raise RuntimeError


def test_exception_in_a_transaction_leaves_nothing(tmp_path):
    archive = Archive.create(tmp_path / "a")
    archive.add_images(fields(1))
    with pytest.raises(RuntimeError):
        stop_half_way(archive)
    assert len(archive.images) == 1
    assert archive.tile_table.empty
    assert_no_leftovers(archive)
    archive.add_images(fields(4))
    for view in (archive, Archive(archive.path)):  # the first one has seen the files that were taken back
        assert list(view.images["file"]) == ["1.tif", "4.tif"]
        assert_sound(view)


WRITER = """
import sys
import numpy as np
from wootz.archive import Archive
from wootz.fields import NewField
archive = Archive.create(sys.argv[1])
start = len(archive.images)
for n in range(start, 10**6):
    pixels = np.random.default_rng(n).integers(0, 200, (64, 64 + n % 7), dtype=np.uint8)
    archive.add_images([NewField(pixels, {"file": f"{n}.tif"})])
    archive.log({"n": n})
    print(n, flush=True)
"""


def test_kill_9_during_ingest(tmp_path):
    path = tmp_path / "a"
    acknowledged = -1
    for attempt in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(5):
            acknowledged = int(process.stdout.readline())
        time.sleep(0.004 * (1 + attempt))
        os.kill(process.pid, signal.SIGKILL)
        rest = process.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        archive = Archive(path)
        assert archive.check().empty
        assert len(archive.images) in {acknowledged + 1, acknowledged + 2}
        assert [r["n"] for r in archive.log_records()][: acknowledged + 1] == list(range(acknowledged + 1))
        for n, row in enumerate(archive.images.to_dict("records")):
            expected = np.random.default_rng(n).integers(0, 200, (64, 64 + n % 7), dtype=np.uint8)
            np.testing.assert_array_equal(archive.field(row["image_id"]), expected)


LIMITED = """
import resource, sys
import numpy as np
from wootz.archive import Archive
from wootz.errors import ArchiveError
from wootz.fields import NewField
archive = Archive(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    archive.add_images([NewField(np.zeros((200, 200), np.uint8), {"file": "large.tif"})])
except ArchiveError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit there")
def test_real_file_size_limit(tmp_path):
    archive = Archive.create(tmp_path / "a")
    archive.add_images(fields(1))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, archive.path], capture_output=True, text=True, check=True
    )
    assert "disk full while writing" in done.stdout
    assert len(archive.images) == 1
    assert_sound(archive)
    assert_no_leftovers(archive)


@pytest.mark.slow
def test_two_writers_take_turns(tmp_path):
    path = tmp_path / "a"
    Archive.create(path)
    code = WRITER.replace("10**6", "start + 4").replace("default_rng(n)", "default_rng(n + int(sys.argv[2]))")
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(s)], stdout=subprocess.DEVNULL)
        for s in (0, 1000)
    ]
    assert [p.wait() for p in processes] == [0, 0]
    archive = Archive(path)
    assert len(archive.images) == 8
    assert archive.check().empty


def test_torn_last_line_of_the_log(tmp_path):
    archive = Archive.create(tmp_path / "a")
    archive.log({"op": "name", "to": "pore µ"})
    path = tmp_path / "a" / "log" / "operations.jsonl"
    with path.open("ab") as file:
        file.write(b'{"op": "mer')
    assert [r["op"] for r in archive.log_records()] == ["name"]
    archive.log({"op": "split", "text": "x" * 10_000})
    with path.open("ab") as file:
        file.write(b'{"op": "' + b"y" * 9000)
    archive.log({"op": "undo"})
    assert path.read_bytes().endswith(b'"undo"}\n')
    assert [r["op"] for r in archive.log_records()] == ["name", "split", "undo"]
    path.write_bytes(path.read_bytes().replace(b'"split"', b'"spl\nt"'))
    with pytest.raises(ArchiveError, match="line 2 of"):
        archive.log_records()


def test_power_cut_while_logging(tmp_path, monkeypatch):
    archive = Archive.create(tmp_path / "a")
    machine = Machine(monkeypatch)
    for cut in range(1, 16):
        machine.revive()
        before = len(archive.log_records())
        machine.left = cut
        try:
            archive.log({"op": "name", "n": cut})
        except PowerCut:
            machine.revive()
            assert len(archive.log_records()) in {before, before + 1}
    machine.revive()
    archive.log({"op": "last"})
    assert archive.log_records()[-1]["op"] == "last"
