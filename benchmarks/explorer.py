"""The explorer's page in headless Chromium without a GPU: time to ready, lasso, redraw, first pictures.

    python benchmarks/explorer.py [points]        (1,000,000 by default)

Writes a grey archive with that many tiles (windows of 64 px every 8 px), gives them random clusters and a
map of twelve clouds, starts ``wootz explore`` and measures in the page; medians, and the fastest beside them:

ready_ms   from the arrival of the coordinates to the first drawn map and cards, with the state fetched
lasso_ms   from a closed lasso around most of the map to the drawn selection (7 times)
redraw_ms  one frame with all points (15 times)
filter_ms  from a filter on a column, which keeps half, to the map drawn with it (5 times)
act_ms     from naming a whole cluster, a twelfth of the tiles, to the page that shows it (once)
undo_ms    the same of taking that back
server_peak_mib  largest resident memory of the server (Linux)
sprite_ms  48 tiles that were never read before, as one sheet, from request to answer (7 times)
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import sync_playwright

from wootz.archive import Archive
from wootz.fields import NewField

FIELD, TILE, STRIDE, CLOUDS = 1024, 64, 8, 12
PER_FIELD = ((FIELD - TILE) // STRIDE + 1) ** 2
COMMAND = "from wootz.cli.main import main; import sys; main(['explore', sys.argv[1], 'browser=false'])"
MEASURE = """async () => {
  const { map } = await import('/page/main.js');
  const time = (name, n, work) => {
    const times = Array.from({ length: n }, () => {
      const start = performance.now(); work(); return performance.now() - start; }).sort((a, b) => a - b);
    return { [name + '_ms']: times[n >> 1], [name + '_fastest_ms']: times[0] };
  };
  const { width: w, height: h } = map.canvas;
  const path = Array.from({ length: 200 }, (_, k) => [w * (.5 + .3 * Math.cos(k * Math.PI / 100)),
    h * (.5 + .3 * Math.sin(k * Math.PI / 100))]);
  const at = (name) => performance.getEntriesByName(name)[0].startTime;
  const redraw = time('redraw', 15, () => map.draw());
  const lasso = time('lasso', 7, () => { map.onLasso(map.inside(path), path); map.draw(); });
  return { points: map.x.length, width_px: w, height_px: h, ready_ms: at('wootz-ready') - at('wootz-data'),
    lasso_tiles: map.inside(path).length, ...lasso, ...redraw };
}"""
SPRITES = """async (n) => {
  const { postBlob } = await import('/page/api.js');
  const times = [];
  for (let k = 0; k < 7; k++) {
    const rows = Array.from({ length: 48 }, (_, i) => (k * 7919 + i * 104729 + 17) % n);
    const start = performance.now();
    await createImageBitmap(await postBlob('sprite', { rows, side: 128 }));
    times.push(performance.now() - start);
  }
  const sorted = times.slice().sort((a, b) => a - b);
  return { sprite_first_ms: times[0], sprite_ms: sorted[3], sprite_fastest_ms: sorted[0] };
}"""


FILTER = """async () => {
  const [{ map }, { apply }] = await Promise.all([import('/page/main.js'), import('/page/filters.js')]);
  const values = Array.from({ length: 10 }, (_, k) => 'S' + 2 * k), times = [];
  for (let k = 0; k < 5; k++) {
    const start = performance.now();
    await apply([{ column: 'column:specimen', values }]);
    map.draw();
    times.push(performance.now() - start);
    await apply([]);
  }
  const sorted = times.slice().sort((a, b) => a - b);
  return { filter_first_ms: times[0], filter_ms: sorted[2] };
}"""
ACT = """async () => {
  const { act } = await import('/page/actions.js'), { app, rowsOfGroup } = await import('/page/store.js');
  const rows = rowsOfGroup(app.groups[0]), found = { act_tiles: rows.length };
  const name_it = () => act('name', { class: 'bench', rows });
  for (const [name, work] of [['act', name_it], ['undo', () => act('undo')]]) {
    const start = performance.now();
    if (!await work()) throw new Error(document.getElementById('toasts').textContent);
    found[name + '_ms'] = performance.now() - start;
  }
  return found;
}"""


def make_archive(path: Path, n_points: int) -> Archive:
    rng = np.random.default_rng(0)
    archive = Archive.create(path)
    n_fields = -(-n_points // PER_FIELD)
    base = rng.integers(0, 256, (FIELD, FIELD), dtype=np.uint8)
    rows = [{"file": f"{i}.png", "specimen": f"S{i % 20}"} for i in range(n_fields)]
    fields = (NewField(np.roll(base, 17 * i, axis=1) ^ np.uint8(i % 256), row) for i, row in enumerate(rows))
    archive.add_images(fields)
    archive.write_tiles(TILE, STRIDE)
    table = archive.tile_table
    cloud = rng.integers(0, CLOUDS, len(table))
    centres = rng.normal(0, 4, (CLOUDS, 2))
    places = centres[cloud] + rng.normal(0, 1, (len(table), 2))
    with archive.transaction():
        archive.set_tile_column("cluster_toy", table.tile_id, pd.array(cloud, "Int64"))
        archive.set_tile_column("umap_row_toy", table.tile_id, places[:, 0])
        archive.set_tile_column("umap_col_toy", table.tile_id, places[:, 1])
    return archive


def main() -> None:
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        archive = make_archive(Path(folder) / "a", n_points)
        command = [sys.executable, "-c", COMMAND, str(archive.path)]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        url = next(m.group(0) for line in server.stderr if (m := re.search(r"http://\S+", line)))
        try:
            with sync_playwright() as play:
                path = shutil.which("chromium") or shutil.which("google-chrome")
                browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                page.add_init_script("localStorage.setItem('wootz-expert', 'bench')")
                page.set_default_timeout(180_000)
                page.goto(url)
                page.wait_for_selector("body[data-ready=true]")
                found = page.evaluate(MEASURE)
                found |= page.evaluate(SPRITES, found["points"])
                found |= page.evaluate(FILTER)
                found |= page.evaluate(ACT)
                peak = Path(f"/proc/{server.pid}/status").read_text().partition("VmHWM:")[2].split()[0]
                found["server_peak_mib"] = int(peak) / 1024
                page.screenshot(path=str(Path(tempfile.gettempdir()) / "wootz-explorer-benchmark.png"))
                browser.close()
        finally:
            server.terminate()
        print(json.dumps({k: round(v, 1) for k, v in found.items()}))


if __name__ == "__main__":
    main()
