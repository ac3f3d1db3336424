"""The log under kill -9, a full disk, a torn line and several writers: nothing acknowledged is lost."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from wootz import oplog
from wootz.archive import Archive
from wootz.errors import ArchiveError
from wootz.explore.state import replay

WRITER = """
import sys, time
from pathlib import Path
from wootz import oplog
root, who, n, gap = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
for i in range(n):
    record = {"id": f"{who}{i}", "op": "name", "actor": who, "class": f"c{i % 3}"}
    oplog.append(root, record | {"tiles": [f"t{i % 40}", "x" * (i % 97 + 1)]})
    print(i, flush=True)
    time.sleep(gap)
"""


def start_writer(root, who, *, n, gap=0.0):
    command = [sys.executable, "-c", WRITER, str(root), who, str(n), str(gap)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_at_once_lose_nothing_and_see_the_same(tmp_path):
    root = tmp_path / "a"
    Archive.create(root)
    writers = [start_writer(root, who, n=60) for who in ("Ana", "Ben")]
    for i in range(60):  # and a third, in this process
        oplog.append(root, {"id": f"Cleo{i}", "op": "artefact", "actor": "Cleo", "tiles": [f"t{i}"]})
    assert [w.communicate()[0].split()[-1] for w in writers] == ["59", "59"]
    records = oplog.load(root)
    for who in ("Ana", "Ben", "Cleo"):
        mine = [r["id"] for r in records if r["actor"] == who]
        assert mine == [f"{who}{i}" for i in range(60)]
    offset, parts = 0, []
    while len(parts) < len(records):  # a window that reads in pieces comes to the same state
        size = offset + 1
        found, offset = oplog.read(root, offset)
        parts += found
        assert offset >= size
    assert replay(parts).verdicts("Ben") == replay(records).verdicts("Ben")


def test_a_reader_takes_whole_lines_alone(tmp_path):
    root = tmp_path / "a"
    archive = Archive.create(root)
    archive.log({"op": "a"})
    with (root / oplog.LOG).open("ab") as file:
        file.write(b'{"op": "b"')
    records, offset = oplog.read(root)
    assert [r["op"] for r in records] == ["a"]
    with (root / oplog.LOG).open("ab") as file:
        file.write(b"}\n")
    assert [r["op"] for r in oplog.read(root, offset)[0]] == ["b"]


def test_a_torn_line_is_set_aside_with_a_message(tmp_path, capsys):
    root = tmp_path / "a"
    archive = Archive.create(root)
    archive.log({"op": "a"})
    with (root / oplog.LOG).open("ab") as file:
        file.write(b'{"op": "half')
    with oplog.writing(root) as log:
        assert log.torn is not None
        assert log.torn.read_bytes() == b'{"op": "half'
    assert log.torn.name in capsys.readouterr().err
    with oplog.writing(root) as log:
        assert log.torn is None
    assert [r["op"] for r in archive.log_records()] == ["a"]


def test_writers_wait_for_each_other(tmp_path, monkeypatch):
    root = tmp_path / "a"
    Archive.create(root)
    with oplog.writing(root) as log:
        other = threading.Thread(target=oplog.append, args=(root, {"op": "second"}))
        other.start()
        time.sleep(0.05)
        log.append({"op": "first"})
    other.join()
    assert [r["op"] for r in oplog.load(root)] == ["first", "second"]
    monkeypatch.setattr(oplog, "LOCK_WAIT_S", 0.02)
    with oplog.writing(root), pytest.raises(ArchiveError, match="nothing was written"):
        oplog.append(root, {"op": "third"})


FULL = """
import resource, signal, sys
from pathlib import Path
from wootz import oplog
from wootz.errors import ArchiveError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for i in range(1000):
    try:
        oplog.append(Path(sys.argv[1]), {"op": "name", "n": i, "tiles": ["t" * 100]})
    except ArchiveError as error:
        print(i, error)
        break
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limit there")
def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path):
    root = tmp_path / "a"
    Archive.create(root)
    done = subprocess.run([sys.executable, "-c", FULL, root], capture_output=True, text=True, check=True)
    refused, message = done.stdout.split(" ", 1)
    assert "disk full" in message
    assert int(refused) > 5
    assert [r["n"] for r in oplog.load(root)] == list(range(int(refused)))
    assert (root / oplog.LOG).read_bytes().endswith(b"\n")
    oplog.append(root, {"op": "name", "n": int(refused)})  # there is room again
    assert len(oplog.load(root)) == int(refused) + 1


@pytest.mark.slow
def test_kill_9_loses_no_acknowledged_action(tmp_path):
    root = tmp_path / "a"
    Archive.create(root)
    for attempt in range(6):
        before = len(oplog.load(root))
        writer = start_writer(root, f"W{attempt}-", n=10_000)
        for _ in range(20 + 7 * attempt):
            acknowledged = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.communicate()[0].split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        mine = oplog.load(root)[before:]
        assert len(mine) in {acknowledged + 1, acknowledged + 2}
        assert [r["id"] for r in mine] == [f"W{attempt}-{i}" for i in range(len(mine))]
    text = (root / oplog.LOG).read_text()
    assert all(json.loads(line) for line in text.splitlines())
