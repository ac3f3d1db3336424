"""The demo: its steps go on where they stopped, and the whole of it reaches its figures."""

import json

import pytest

from wootz.apps.demo import demo
from wootz.apps.demo_config import DemoConfig
from wootz.apps.steps import Steps
from wootz.errors import WootzError


def test_finished_steps_are_not_repeated(tmp_path):
    calls = []

    def work():
        calls.append(1)
        return {"answer": 42}

    for _ in range(2):
        assert Steps(tmp_path / "steps", {"seed": 0}).do("one", "One", work) == {"answer": 42}
    assert len(calls) == 1


def test_failed_step_is_tried_again(tmp_path):
    steps = Steps(tmp_path / "steps", {})
    with pytest.raises(ZeroDivisionError):
        steps.do("one", "One", lambda: {"x": 1 / 0})
    assert steps.do("one", "One", lambda: {"x": 1}) == {"x": 1}


def test_folder_begun_with_other_settings_is_refused(tmp_path):
    Steps(tmp_path / "steps", {"seed": 0})
    with pytest.raises(WootzError, match=r"other settings \(seed\)"):
        Steps(tmp_path / "steps", {"seed": 1})


@pytest.mark.slow
@pytest.mark.skipif("not config.getoption('--runslow')", reason="a whole demo, minutes long: give --runslow")
def test_demo_keeps_its_promises(tmp_path):
    report = demo(tmp_path / "demo", DemoConfig())
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert results == json.loads(json.dumps(report.results))
    assert results["segmentation"]["mean_iou"] >= 0.75
    assert results["segmentation"]["grey_baseline_mean_iou"] < 0.45
    assert results["measurement"]["thickness_rel_error"] <= 0.03
    assert results["measurement"]["porosity_abs_error"] <= 0.01
    assert results["anomaly"]["image_auroc"] >= 0.9
    assert results["clustering"]["n_clusters"] >= 2
    assert results["pretrain"]["rankme"] > 2

    page = (tmp_path / "demo" / "report.html").read_text()
    assert "data:image/png;base64" in page
    for outside in ('src="http', 'href="http', "@import"):
        assert outside not in page, "the report must open offline"
