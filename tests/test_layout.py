"""The conventions of the code base that a machine can check: imports, names, signatures, packaging."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "wootz"
UNITS = ("ssl", "clustering", "finetune", "synthetic", "measure", "explore")
LAYERS = {"core": 0, "unit": 1, "apps": 2, "cli": 3, "configs": 3}
FORBIDDEN_NAMES = {"utils.py", "common.py", "base.py", "helpers.py", "misc.py"}
MANY_ARGUMENTS = {"wootz.options.check_range"}  # key, value, low, high: reads like the inequality it is
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def layer(module: str) -> tuple[int, str]:
    """Return (height of the layer, unit name or '')."""
    part = [*module.split("."), "", ""][1]
    if part in UNITS:
        return LAYERS["unit"], part
    return LAYERS.get(part, LAYERS["core"]), ""


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("wootz")}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_one_way(path):
    own_height, own_unit = layer(module_name(path))
    for target in imported_modules(path):
        height, unit = layer(target)
        assert height <= own_height, f"{module_name(path)} imports {target} from a higher layer"
        if own_unit and unit:
            assert unit == own_unit, f"unit {own_unit} imports unit {unit}; go through the archive"


def public_functions(path: Path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_signatures_follow_the_house_style(path):
    for function in public_functions(path):
        where = f"{module_name(path)}.{function.name}"
        positional = function.args.posonlyargs + function.args.args
        assert len(positional) <= 3 or where in MANY_ARGUMENTS, (
            f"{where} takes {len(positional)} positional arguments, at most 3"
        )
        random = [a.arg for a in positional[1:] if a.arg in ("rng", "generator", "seed")]
        assert not random, f"{where}: {random} must be keyword-only"
        for argument, default in zip(positional[::-1], function.args.defaults[::-1], strict=False):
            is_bool = isinstance(default, ast.Constant) and isinstance(default.value, bool)
            assert not is_bool, f"{where}: {argument.arg} is a positional boolean"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_global_random_state(path):
    text = path.read_text()
    calls = ["np.random.seed", "np.random.rand", "default_rng()", "random.seed("]
    if "fork_rng" not in text:  # torch's layers draw their first weights from the global generator only
        calls.append("torch.manual_seed(")
    for call in calls:
        assert call not in text, f"{module_name(path)} touches global random state: {call}"


def test_no_drawer_modules():
    drawers = [path for path in MODULES if path.name in FORBIDDEN_NAMES]
    assert not drawers, f"name the idea instead: {drawers}"


def test_no_ssl_folder_in_the_root_and_no_script_inside_the_package():
    assert not (ROOT / "ssl").exists()
    assert (PACKAGE / "__init__.py").exists()
    for path in MODULES:
        assert "__main__" not in path.read_text(), (
            f"{path}: started from here, 'ssl' would shadow Python's own"
        )


def test_tests_are_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_standard_ssl_survives_beside_wootz_ssl():
    code = "import wootz.ssl, ssl; ssl.SSLWantReadError"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("statement", ["import wootz", "from wootz.cli.main import main; main(['--help'])"])
def test_light_entry_loads_no_torch(statement):
    heavy = "('torch', 'lightning', 'pandas', 'matplotlib', 'hydra')"
    code = f"{statement}; import sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
