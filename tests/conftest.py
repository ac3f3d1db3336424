"""Shared fixtures and the marks that skip with a reason where a part is missing."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

# Tests run in one process a core (pytest-xdist), so each computes with one thread; read when torch is loaded.
# numba would give OpenMP all cores again in its first UMAP map, for all that comes after it in the process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--runslow", action="store_true", help="run tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    run_slow = config.getoption("--runslow") or os.environ.get("CI") == "true"
    skip_slow = pytest.mark.skip(reason="slow: give --runslow, or set CI=true")
    skip_data = pytest.mark.skip(reason=f"no real micrographs in {_data_folder()}; set WOOTZ_TEST_DATA")
    for item in items:
        if "slow" in item.keywords and not run_slow:
            item.add_marker(skip_slow)
        if "realdata" in item.keywords and not _data_folder().is_dir():
            item.add_marker(skip_data)
        if "browser" in item.keywords and not find_chromium():
            item.add_marker(pytest.mark.skip(reason="no Chromium; install it, or set WOOTZ_CHROMIUM"))
        if "gpu" in item.keywords and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def _data_folder() -> Path:
    return Path(os.environ.get("WOOTZ_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def find_chromium() -> str | None:
    """Return the path of a Chromium that is installed here."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("WOOTZ_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def chromium() -> str:
    """Return the path of Chromium, for tests marked `browser`."""
    found = find_chromium()
    assert found is not None
    return found


@pytest.fixture
def data_dir() -> Path:
    """Return the folder of public micrographs."""
    return _data_folder()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)
