"""Nothing that is read can become code: no pickle, no eval, no shell, no loader that makes objects of what a file says."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] in {
    "mimic_contracts", "perception", "vehicle_interface", "bag_tools", "e2e_planner", "mimic_sim", "mimic", "launch", "benchmarks", "docs", "setup.py"
})  # fmt: skip
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
BUILT_INS = {"eval", "exec", "compile", "__import__"}
SHELLS = {("os", "system"), ("os", "popen"), ("subprocess", "getoutput"), ("subprocess", "getstatusoutput")}
YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}


def keyword(call: ast.Call, name: str) -> object:
    """The constant that a call gives for a keyword; ... where it is no constant."""
    given = next((item.value for item in call.keywords if item.arg == name), ast.Constant(None))
    return given.value if isinstance(given, ast.Constant) else ...


def dangers(text: str) -> list[str]:
    """What a source does that it must not, with its line."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: import {name}" for name in names if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in BUILT_INS:
            found.append(f"{node.lineno}: {node.func.id}()")
        if keyword(node, "shell") not in (None, False):
            found.append(f"{node.lineno}: shell")
        if not isinstance(node.func, ast.Attribute) or not isinstance(node.func.value, ast.Name):
            continue
        module, name = node.func.value.id, node.func.attr
        loads_code = (
            (module, name) in SHELLS
            or (module == "yaml" and name in YAML)
            or (module == "torch" and name == "load" and keyword(node, "weights_only") is not True)
            or (module in ("np", "numpy") and name == "load" and keyword(node, "allow_pickle") not in (None, False))
        )
        if loads_code:
            found.append(f"{node.lineno}: {module}.{name}")
    return found


def test_no_source_turns_data_into_code():
    assert len(SOURCES) > 200
    assert {str(path.relative_to(ROOT)): found for path in SOURCES if (found := dangers(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import shelve as s",
        "eval('1')",
        "exec(text)",
        "compile(text, '', 'exec')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "subprocess.Popen(x, shell=is_shell)",
        "os.system('ls')",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",  # safe_load says the same, and cannot be mistaken
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_would_is_found(text):
    assert len(dangers(text)) == 1


@pytest.mark.parametrize(
    "text", ["network.eval()", "yaml.safe_load(t)", "torch.load(p, weights_only=True)", "np.load(p, mmap_mode='r')", "subprocess.run(['ls'])"]
)
def test_what_would_not_is_not(text):
    assert dangers(text) == []
