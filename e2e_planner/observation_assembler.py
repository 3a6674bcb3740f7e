"""Pictures and vehicle signals that arrive on their own become observations."""

from collections import deque

from mimic_contracts.errors import MimicError
from mimic_contracts.images import Frame
from mimic_contracts.observation import EgoState, Observation, Route

KEPT = 200  # states kept, some seconds of odometry


class ObservationAssembler:
    """Finds for each frame the vehicle's state at its exposure."""

    def __init__(self, *, odometry_required: bool, tolerance_ns: int) -> None:
        self._is_required = odometry_required
        self._tolerance_ns = tolerance_ns
        self._states: deque[tuple[int, EgoState]] = deque(maxlen=KEPT)
        self._route = Route()

    def add_ego(self, ego: EgoState, *, stamp_ns: int) -> None:
        """Note the vehicle's state."""
        if self._states and stamp_ns < self._states[-1][0]:
            self._states.clear()  # the clock was set back
        self._states.append((stamp_ns, ego))

    def set_route(self, route: Route) -> None:
        """Note where to go."""
        self._route = route

    def has_state_at(self, stamp_ns: int) -> bool:
        """Whether a state of exactly this stamp was noted."""
        return any(stamp == stamp_ns for stamp, _ in self._states)

    def assemble(self, frames: dict[str, Frame], *, stamp_ns: int) -> Observation:
        """The observation of these frames; raises MimicError when odometry is required and none is near enough."""
        nearest = min(self._states, key=lambda entry: abs(entry[0] - stamp_ns), default=None)
        if nearest is None or abs(nearest[0] - stamp_ns) > self._tolerance_ns:
            if self._is_required:
                found = "none has arrived" if nearest is None else f"the nearest is {(nearest[0] - stamp_ns) / 1e9:+.3f} s away"
                raise MimicError(f"no odometry within {self._tolerance_ns / 1e9} s of the picture: {found}")
            return Observation(stamp_ns=stamp_ns, frames=frames, route=self._route)
        return Observation(stamp_ns=stamp_ns, frames=frames, ego=nearest[1], route=self._route)
