"""The container file, as far as it can be checked without building it: what it copies is there, and what it pins is what is tested."""

import re
import subprocess
from pathlib import Path

import pytest

from mimic.release import ROOMS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "container" / "Containerfile").read_text(encoding="utf-8")
COPIED = [source for line in re.findall(r"^COPY (.*)$", TEXT, re.M) for source in line.split()[:-1]]


@pytest.mark.parametrize("source", COPIED)
def test_what_it_copies_exists(source):
    assert (ROOT / source).exists()


def test_it_copies_all_that_is_installed():
    assert {*ROOMS, "package.xml", "setup.py", "setup.cfg", "resource", "config", "launch", "models", "LICENSE"} <= set(COPIED)


def test_it_pins_what_the_lock_pins():
    pinned = re.findall(r"[\w-]+==[\w.]+", TEXT)
    assert len(pinned) == 3
    assert set(pinned) <= set((ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines())


def test_its_entry_is_a_script_that_runs_what_it_is_told(tmp_path):
    path = ROOT / "container" / "entrypoint.sh"
    assert path.stat().st_mode & 0o111
    setup = tmp_path / "setup.bash"
    setup.write_text("export SOURCED=yes\n", encoding="utf-8")
    script = path.read_text(encoding="utf-8").replace("/opt/mimic_drive/setup.bash", str(setup))
    done = subprocess.run(["bash", "-c", script, "entry", "sh", "-c", 'echo "$SOURCED $0" "$1"', "a b", "c"], capture_output=True, text=True, check=True)
    assert done.stdout == "yes a b c\n"


def test_it_does_not_drive_as_root():
    assert re.findall(r"^USER (\w+)$", TEXT, re.M) == ["driver"]
