"""One recorded drive: the expert drives a route, or a learner whom the expert corrects (engine.drive), or a recorded drive
is taken again, and it becomes a bag.

A bag is whole when drive.json is in it, which says what was driven, by whom and how it is recorded, but not how the driver
is: neither that nor what the judge noted is in the bag. Both are in the answer, which the caller keeps apart.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mimic_contracts.errors import MimicError
from mimic_contracts.plan import Plan
from mimic_contracts.policy import Policy
from mimic_sim import engine
from mimic_sim.drive_result import TRACE_SUFFIX, DriveResult
from mimic_sim.events import COLLISIONS
from mimic_sim.recorder import record
from mimic_sim.route_spec import RouteSpec
from mimic_sim.scenarios import load_scenario
from mimic_sim.view import View
from mimic_sim.world import COMPLETED, Simulation, World, build_world

CARD_FILE, ROWS_FILE = "drive.json", "rows.parquet"
DRIVING_SHARE = 0.4  # of the time for a drive; the rest goes into its pictures


@dataclass(frozen=True, kw_only=True)
class Job:
    """A bag to be made. source: the rows of a drive whose route in another rig and look this one is; None: it is to be driven.

    load_policy: gives the learner who drives it, in the process that it is called in; None: the expert drives.
    expert_share: for how much of the time the expert drives in a learner's stead; None: it is no learner's drive.
    """

    route: RouteSpec
    driver_id: str
    image_rate_hz: float
    with_ground_truth: bool
    source: Path | None = None
    load_policy: Callable[[], Policy] | None = None
    expert_share: float | None = None

    @property
    def name(self) -> str:
        """Of the bag."""
        return self.route.route_id

    @property
    def card(self) -> str:
        """The text of drive.json."""
        route = {key: value for key, value in asdict(self.route).items() if key != "driver"}
        ids = {"driver_id": self.driver_id, "vehicle_id": self.route.vehicle}
        learner = {} if self.expert_share is None else {"expert_share": self.expert_share}
        return json.dumps({**ids, **learner, "image_rate_hz": self.image_rate_hz, "ground_truth": self.with_ground_truth, **route}, indent=2) + "\n"


def make(job: Job, out: Path, on_share: Callable[[float], None] = lambda share: None) -> dict[str, Any]:
    """Drive, if need be, write the bag OUT/NAME, and return the answer; on_share is told how much is done, 0 to 1.

    Raises MimicError when SUMO, the pictures or the disk fail.
    """
    world = build_world(job.route)
    if job.source is None:

        def on_drive(simulation: Simulation, plan: Plan) -> None:
            on_share(DRIVING_SHARE * simulation.progress_share)

        drive = _drive(job, world, on_drive)
    else:
        drive = replace(DriveResult.load(job.source), route=job.route)
    answer = answer_of(job, drive)
    if answer["left_out"]:
        return answer
    home = out / job.name
    shutil.rmtree(home, ignore_errors=True)
    on_tick = lambda tick: on_share(DRIVING_SHARE + (1.0 - DRIVING_SHARE) * tick / len(drive))  # noqa: E731
    record(drive, world, home, image_rate_hz=job.image_rate_hz, with_ground_truth=job.with_ground_truth, on_tick=on_tick)
    finish(job, drive, home)
    return answer


def _drive(job: Job, world: World, on_tick: Callable[[Simulation, Plan], None]) -> DriveResult:
    """Who the job says drives; a learner sees its own rig, which need not be all that the bag shows."""
    if job.load_policy is None:
        return engine.drive(None, world, look=lambda moment: {}, on_tick=on_tick)
    policy = job.load_policy()
    rig = engine.rig_of(policy, world.vehicle)
    if rig is None:
        return engine.drive(policy, world, look=lambda moment: {}, on_tick=on_tick, expert_share=job.expert_share)
    with View(world, rig.cameras) as view:
        return engine.drive(policy, world, look=view.pictures, on_tick=on_tick, expert_share=job.expert_share)


def finish(job: Job, drive: DriveResult, bag: Path) -> None:
    """Add to a bag what was driven, without what training must not see; drive.json comes last."""
    replace(drive, route=replace(job.route, driver=""), events=()).save(bag / ROWS_FILE)
    partial = bag / f".{CARD_FILE}.partial"
    partial.write_text(job.card, encoding="utf-8")
    partial.replace(bag / CARD_FILE)


def answer_of(job: Job, drive: DriveResult) -> dict[str, Any]:
    """What is true of a drive and not in its bag: the style (route.driver), what the judge noted, how it ended, and why it is
    left out, else empty: who did not arrive, hit something, or failed the scenario's own test is nobody to learn from. Of a
    learner everything is kept, since it is the expert's corrections that are learned from."""
    events, is_learner = [asdict(event) for event in drive.events], job.expert_share is not None
    faults = [str(event) for event in drive.events if event.at_fault and event.kind in COLLISIONS]
    if job.route.scenario and not (job.route.is_disturbed or is_learner) and len(drive):  # a push takes the car out of its lane, which is no fault
        faults.append(load_scenario(job.route.scenario).fault(drive))
    reasons = [] if is_learner and len(drive) else [*([] if drive.ended == COMPLETED else [drive.ended]), *(fault for fault in faults if fault)]
    return {"driver_id": job.driver_id, "route": asdict(job.route), "events": events, "ended": drive.ended, "left_out": "; ".join(reasons)}


def take_again(bag: Path, *, look: str | None, vehicle: str | None, image_rate_hz: float | None, with_ground_truth: bool | None) -> Job:
    """The job that renders a recorded drive again; None: as it was. Raises MimicError when it is no drive of a recording."""
    rows, card = bag / ROWS_FILE, bag / CARD_FILE
    if not card.is_file() or not rows.is_file() or not rows.with_suffix(TRACE_SUFFIX).is_file():
        raise MimicError(f"{bag}: has no {CARD_FILE}, {ROWS_FILE} and trace: it must be a drive of `mimic sim record`")
    said = json.loads(card.read_text(encoding="utf-8"))
    route = DriveResult.load(rows).route
    return Job(
        route=replace(route, look=look or route.look, vehicle=vehicle or route.vehicle),
        driver_id=said["driver_id"],
        image_rate_hz=image_rate_hz or said["image_rate_hz"],
        with_ground_truth=said["ground_truth"] if with_ground_truth is None else with_ground_truth,
        source=rows,
        expert_share=said.get("expert_share"),
    )
