"""Along a road and its bends, among others, with nothing to decide: stay in the lane, at the speed that suits it."""

from typing import TYPE_CHECKING

import numpy as np

from mimic_sim.road_network import RoadNetwork
from mimic_sim.staging import BEFORE_END_M, Empty, Site, lane_length_m, site_along

if TYPE_CHECKING:
    from mimic_sim.drive_result import DriveResult
    from mimic_sim.world import World

LENGTH_M = (90.0, 300.0)
CHOICES = 5  # of as many lanes the one that bends most is taken


def site(network: RoadNetwork, rng: np.random.Generator) -> Site | None:
    """Along a lane that bends."""
    lanes = [lane for lane in network.lanes if not lane.is_internal and lane_length_m(lane) >= LENGTH_M[0] + BEFORE_END_M]
    if not lanes:
        return None
    some = [lanes[i] for i in rng.integers(len(lanes), size=CHOICES)]
    return site_along(max(some, key=lambda lane: float(np.ptp(network.line([lane.lane_id]).yaw_rad))), rng, length_m=LENGTH_M)


def cast(world: "World", rng: np.random.Generator) -> Empty:
    """Nobody."""
    return Empty()


def fault(drive: "DriveResult") -> str:
    """Out of its lane for more than a twentieth of the way."""
    c = drive.columns
    step_m = np.maximum(np.diff(c["progress_m"], prepend=0.0), 0.0)
    is_outside = np.maximum(np.abs(c["rear_offset_m"]), np.abs(c["front_offset_m"])) > c["lane_margin_m"]
    share = float((step_m * is_outside).sum() / max(step_m.sum(), 1e-9))
    return f"outside its lane for {100.0 * share:.0f} % of the way" if share > 0.05 else ""
