"""A round of DAgger: what was learned drives, the expert says what it would do, and a labelled clip store comes of it."""

from pathlib import Path

from bag_tools.clip_store import META_FILE, ClipStore
from e2e_planner.recipe import Dagger
from mimic_contracts.errors import MimicError

IMAGE_RATE_HZ = 5.0  # every picture has the one 0.2 s before
TOPICS = "towns"


def rollout(settings: Dagger, run: Path, number: int) -> Path:
    """RUN/store of the drives in RUN/drives, made where they are missing. Raises MimicError when a step fails."""
    from e2e_planner.run import STORE_DIRECTORY

    drives, store = run / "drives", run / STORE_DIRECTORY
    if (store / META_FILE).exists() and ClipStore.open(store).meta.labels is not None:
        return store
    share, rate = f"{settings.expert_share:g}", f"{IMAGE_RATE_HZ:g}"
    if not drives.exists():
        routes = ("--suite", settings.suite, "--seeds", str(settings.seed + number), "--seed", str(settings.seed + number))
        _do("sim", "record", *routes, "--policy", str(run), "--expert-share", share, "--image-rate", rate, "--out", str(drives), "--resume")
    bags = [str(bag) for bag in sorted(drives.glob("drive_*"))]
    _do("extract", *bags, "--topics", TOPICS, "--out", str(store), *(["--overwrite"] if store.exists() else []))
    _do("label", str(store), "--truth", *bags)
    return store


def _do(*arguments: str) -> None:
    """A command of `mimic`, in this process."""
    from mimic.cli import main

    if main(list(arguments)) != 0:
        raise MimicError(f"mimic {' '.join(arguments[:2])} failed: see above; `mimic train … --resume` goes on from there")
