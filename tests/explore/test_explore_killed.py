"""The real command: kill -9 after any action, start again, and every acknowledged action is there."""

import json
import os
import random
import re
import signal
import subprocess
import sys

import httpx
import pytest

from .conftest import make_archive
from .test_server import unpack

COMMAND = "import sys; from wootz.cli.main import main; sys.exit(main(sys.argv[1:]))"


class Explorer:
    """A running `wootz explore`."""

    def __init__(self, archive):
        words = ["explore", str(archive.path), "browser=false"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.said = []
        for line in self.process.stderr:
            self.said.append(line)
            if found := re.search(r"(http://\S+)/#token=(\S+)", line):
                break
        headers = {"Authorization": f"Bearer {found.group(2)}"}
        self.client = httpx.Client(base_url=found.group(1), headers=headers, timeout=30)

    def do(self, **request):
        answer = self.client.post("/api/act", json=request)
        assert answer.status_code == 200, answer.text
        return answer.json()["seq"]

    def verdicts(self):
        header, arrays = unpack(self.client.get("/api/state", params={"expert": "Ana"}).content)
        return [header["verdicts"][v] for v in arrays["verdict"]], header["seq"]

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_kill_9_of_the_server_after_any_action(tmp_path):
    archive = make_archive(tmp_path / "a")
    draw = random.Random(3)
    expected, seq = [""] * 72, 0
    for turn in range(4):
        explorer = Explorer(archive)
        assert explorer.verdicts() == (expected, seq)
        for i in range(draw.randint(1, 5)):
            rows = draw.sample(range(72), 20)
            seq = explorer.do(op="name", actor="Ana", **{"class": f"c{turn}.{i}"}, rows=rows)
            expected = [f"class:c{turn}.{i}" if row in rows else old for row, old in enumerate(expected)]
        explorer.kill()
    explorer = Explorer(archive)
    assert explorer.verdicts() == (expected, seq)
    explorer.process.send_signal(signal.SIGINT)  # Ctrl+C ends the session with a summary
    out, _ = explorer.process.communicate(timeout=60)
    assert f"{sum(map(bool, expected))} tiles carry a verdict" in out
    assert explorer.process.returncode == 0
    assert "label_Ana" in archive.tile_table
    log = (archive.path / "log" / "operations.jsonl").read_text().splitlines()
    assert [json.loads(line)["op"] for line in log] == ["name"] * seq
