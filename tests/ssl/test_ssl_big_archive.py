"""A 20 GB archive needs no more memory than a small one: pages of files come and go as the system likes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "big_archive.py"
GB = 20.0
LIMIT_GIB = 3.0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the anonymous memory")
def test_training_and_embedding_hold_little_of_a_big_archive(tmp_path):
    """The first GB repeated under other names: 20 GB and 1.2 million tiles to every table and mapping."""
    if shutil.disk_usage(tmp_path).free < 4e9:
        pytest.skip("needs 4 GB of disk")
    words = [sys.executable, SCRIPT, "--gb", GB, "--linked", "--seconds", 3, "--folder", tmp_path]
    words += ["--caches", "cold"]
    done = subprocess.run(
        [str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True, timeout=1500
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["n_tiles"] > 60_000 * GB
    assert result["pretrain_cold"]["steps"] > 0
    assert result["embed_cold"]["tiles_per_s"] > 0
    for stage in ("read", "pretrain", "embed"):
        assert 0.05 < result[f"{stage}_cold"]["rss_anon_gib"] < LIMIT_GIB
    assert not list(tmp_path.iterdir())  # nothing is left behind
