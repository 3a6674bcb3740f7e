"""The pure tests of the vehicle interface run every line and branch of its cores, and notice a changed envelope."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENVELOPE = ROOT / "vehicle_interface" / "envelope.py"
PURE_TESTS = {  # by what they run whole; apart, because coverage makes them slow
    ("adapters", "core", "envelope", "kinematics", "longitudinal", "modes", "plan_tracker", "teleop"): (
        *("vehicle_envelope", "vehicle_core", "vehicle_supervised", "vehicle_tracker", "vehicle_faults", "vehicle_longitudinal", "vehicle_by_wire", "teleop"),
    ),
    ("plausibility", "supervision", "supervisor_core"): ("supervisor_core",),
    ("identification", "regression"): ("vehicle_identification",),
}

# Changes without a difference: the boundary itself belongs to either side, or only a number's last bits are concerned.
EQUIVALENT = {"MAX_ANGLE_RAD", "SMALLEST_SQUARED_SPEED_M2PS2"}
SWAPPED = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


@pytest.mark.slow
@pytest.mark.parametrize(("cores", "tests"), PURE_TESTS.items(), ids=lambda names: names[-1])
def test_every_line_and_branch_is_run(cores, tests, tmp_path):
    pytest.importorskip("coverage", reason="coverage is not installed")
    data, report = tmp_path / "coverage", tmp_path / "report.json"
    command = [sys.executable, "-m", "coverage", "run", "--branch", "--source=vehicle_interface", f"--data-file={data}", "-m", "pytest"]
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile", "examples", "--envelope-cases", "1000"]  # more of them run no other line
    subprocess.run([*command, *options, *(f"test/test_{name}.py" for name in tests)], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "coverage", "json", f"--data-file={data}", "-o", str(report)], cwd=ROOT, check=True, capture_output=True)
    files = json.loads(report.read_text())["files"]
    for core in cores:
        found = files[f"vehicle_interface/{core}.py"]
        assert (found["missing_lines"], found["missing_branches"]) == ([], []), core


class Mutator(ast.NodeTransformer):
    """Changes the k-th operator, comparison, number or min/max of the envelope; counts all of them."""

    def __init__(self, chosen: int) -> None:
        self.count, self.chosen, self.what = 0, chosen, ""

    def _is_chosen(self, node: ast.AST, what: str) -> bool:
        self.count += 1
        if self.count - 1 == self.chosen:
            self.what = f"line {node.lineno}: {what}"
        return self.count - 1 == self.chosen

    def visit_Assign(self, node):
        return node if isinstance(node.targets[0], ast.Name) and node.targets[0].id in EQUIVALENT else self.generic_visit(node)

    def visit_BinOp(self, node):
        if type(node.op) in SWAPPED and self._is_chosen(node, type(node.op).__name__):
            node.op = SWAPPED[type(node.op)]()
        return self.generic_visit(node)

    def visit_Compare(self, node):
        for i, op in enumerate(node.ops):
            if type(op) in SWAPPED and self._is_chosen(node, type(op).__name__):
                node.ops[i] = SWAPPED[type(op)]()
        return self.generic_visit(node)

    def visit_Constant(self, node):
        if isinstance(node.value, float) and self._is_chosen(node, str(node.value)):
            return ast.copy_location(ast.Constant(node.value * 1.3 if node.value else 0.2), node)
        return node

    def visit_Call(self, node):
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max") and self._is_chosen(node, node.func.id):
            node.func.id = "max" if node.func.id == "min" else "min"
        return self.generic_visit(node)

    def visit_BoolOp(self, node):
        if self._is_chosen(node, type(node.op).__name__):
            node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        return self.generic_visit(node)


RUNNER = """
import sys, types, pathlib
source, tests = sys.argv[1], sys.argv[2:]
module = types.ModuleType("vehicle_interface.envelope")
sys.modules[module.__name__] = module
exec(compile(pathlib.Path(source).read_text(), source, "exec"), module.__dict__)
import pytest
from hypothesis import Phase, settings
settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate])
settings.load_profile("unshrunk")
options = ["-q", "-x", "-p", "no:cacheprovider", "--envelope-cases", "2000", *tests]
PROPERTIES = "sequence or twists"  # slower, so only for what the boundary tests let through
sys.exit(pytest.main([*options, "-k", f"not ({PROPERTIES})"]) or pytest.main([*options, "-k", PROPERTIES]))
"""


def mutants():
    """(what was changed, source) of every single change."""
    k = 0
    while True:
        mutator = Mutator(k)
        tree = mutator.visit(ast.parse(ENVELOPE.read_text()))
        if k >= mutator.count:
            return
        yield mutator.what, ast.unparse(ast.fix_missing_locations(tree))
        k += 1


def survivors(folder: Path) -> list[str]:
    """The changes that no test notices."""
    alive = []
    for k, (what, source) in enumerate(mutants()):
        path = folder / f"envelope_{k}.py"
        path.write_text(source)
        command = [sys.executable, "-c", RUNNER, str(path), "test/test_vehicle_envelope.py"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, timeout=120)
        assert result.returncode in (0, 1), result.stdout.decode() + result.stderr.decode()
        if result.returncode == 0:
            alive.append(what)
    return alive


def test_mutants_are_made():
    found = [what for what, _ in mutants()]
    assert len(found) > 40 and len(set(found)) > 30


if __name__ == "__main__":  # python test/test_vehicle_coverage.py FOLDER: minutes, so not part of every test run
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(list(mutants()))} mutants, alive: {survivors(folder)}")
