"""A policy drives closed loop in one process: the same numbers as over ROS in lockstep, without the messages.

Tick 0: odometry and picture, plan, request to engage. From tick 1 on: commands.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import ContractError, MimicError
from mimic_contracts.images import Frame
from mimic_contracts.motion import points_to_frame
from mimic_contracts.observation import EgoState, Observation, Route
from mimic_contracts.plan import Plan
from mimic_contracts.policy import Policy
from mimic_contracts.rig import Rig, load_rig
from mimic_contracts.validation import check_choice
from mimic_contracts.vehicle import VehicleSpec
from mimic_sim.drive_result import DriveResult
from mimic_sim.mixture import Mixture
from mimic_sim.moment import Moment
from mimic_sim.world import Simulation, World
from vehicle_interface.adapters import Twist2D, twist_from_command
from vehicle_interface.core import InterfaceOutput, VehicleInterfaceCore
from vehicle_interface.vehicle_interface_parameters import VehicleInterfaceParameters

PICTURES = ("as_is", "black", "grey_lights")
Look = Callable[[Moment], Mapping[str, NDArray[np.uint8]]]  # → camera name → picture


class Autopilot:
    """The vehicle interface of a drive in process: it is engaged with the first plan and asked once per tick."""

    def __init__(self, world: World) -> None:
        self._core = VehicleInterfaceCore(world.vehicle, VehicleInterfaceParameters(vehicle=world.route.vehicle, lockstep=True))
        self._is_engaged = False

    def command(self, simulation: Simulation, plan: Plan) -> tuple[Twist2D | None, InterfaceOutput]:
        """The answer to one tick; raises MimicError when it can't engage. Of a plan that cannot be driven the last good
        one stays, as over ROS."""
        now_ns, odometry = simulation.stamp_ns, simulation.odometry()
        self._core.set_odometry(stamp_ns=now_ns, pose=odometry.pose, speed_mps=odometry.speed_mps, yaw_rate_radps=odometry.yaw_rate_radps, steady_ns=now_ns)
        refusal = ""
        try:
            self._core.set_plan(plan, steady_ns=now_ns)
        except ContractError as error:
            refusal = f" ({error})"
        output = self._core.step(now_ns=now_ns, steady_ns=now_ns)
        if not self._is_engaged:
            self._is_engaged, reason = self._core.request_engage(True, now_ns=now_ns, steady_ns=now_ns)
            if not self._is_engaged:
                raise MimicError(f"the vehicle interface refuses to engage: {reason}{refusal}")
        return None if output.command is None else twist_from_command(output.command), output


def drive(
    policy: Policy | None,
    world: World,
    *,
    look: Look,
    pictures: str = "as_is",
    on_tick: Callable[[Simulation, Plan], None] | None = None,
    expert_share: float | None = None,
) -> DriveResult:
    """Drive one route to its end; policy None: the expert drives, and no pictures are made.

    look: renders what `rig_of` says, with dark lamps for pictures "grey_lights"; "black": the policy sees nothing. on_tick:
    told of every tick after its plan, for progress and videos. Whatever the policy does wrong ends the route as failed,
    with the reason. expert_share: the result keeps what the expert would do instead of the policy's plans, the expert has
    the wheel for this share of the time (mixture.py), and the drive ends where there is nothing to correct any more.
    """
    check_choice("pictures", pictures, PICTURES)
    mixture = None if expert_share is None else Mixture(expert_share=expert_share, seed=world.route.seed, duration_s=world.time_limit_s)
    with Simulation(world, ends_at_faults=mixture is not None) as simulation:
        autopilot, ask = Autopilot(world), simulation.expert_plan
        try:
            if policy is not None:
                ask = _asking(policy, simulation, rig_of(policy, world.vehicle), look=look, pictures=pictures)
        except MimicError as error:
            simulation.fail(str(error))
        while not simulation.ended:
            correction = None if mixture is None else simulation.expert_plan()  # first: the expert looks before anybody shows the policy a scene
            try:
                plan = ask()  # of a policy at every tick, since it may remember what it saw
                if mixture is not None and correction is not None and mixture.expert_drives(simulation.time_s):
                    plan = correction
                twist, output = autopilot.command(simulation, plan)
            except MimicError as error:
                simulation.fail(str(error))
                break
            if on_tick is not None:
                on_tick(simulation, plan)
            simulation.advance(twist, mode=output.mode, plan=plan if correction is None else correction)
        return simulation.result()


def rig_of(policy: Policy, vehicle: VehicleSpec) -> Rig | None:
    """The rig whose pictures a policy gets on a vehicle, None when it needs none; raises MimicError when the vehicle has
    not all of its cameras."""
    if policy.rig_name is None:
        return None
    rig, own = load_rig(policy.rig_name), load_rig(vehicle.rig)
    if not set(rig.cameras) <= set(own.cameras):
        raise MimicError(f"the policy needs rig '{rig.name}', vehicle '{vehicle.name}' has rig '{own.name}'")
    return rig


def _asking(policy: Policy, simulation: Simulation, rig: Rig | None, *, look: Look, pictures: str) -> Callable[[], Plan]:
    """What asks a policy for the plan of each tick."""
    policy.reset()
    with_scene = getattr(policy, "needs_scene", False)
    return lambda: _ask(policy, observe(simulation, rig, look=look, pictures=pictures, with_scene=with_scene))


def observe(simulation: Simulation, rig: Rig | None, *, look: Look, pictures: str = "as_is", with_scene: bool = False) -> Observation:
    """What a policy sees at this tick: the same bytes that camera node and planner node make of the messages.

    rig: None for a policy that needs no pictures; with_scene: what can be seen is there as a Scene, too.
    """
    stamp_ns, odometry = simulation.stamp_ns, simulation.odometry()
    images: Mapping[str, NDArray[np.uint8]] = {}
    if rig is not None:
        images = black_pictures(rig) if pictures == "black" else look(simulation.moment())
    return Observation(
        stamp_ns=stamp_ns,
        frames={name: Frame(image=image, stamp_ns=stamp_ns) for name, image in images.items()},
        ego=EgoState.from_motion(speed_mps=odometry.speed_mps, yaw_rate_radps=odometry.yaw_rate_radps),
        route=Route(command=simulation.route_command, points_m=points_to_frame(simulation.route_ahead_m(), odometry.pose)),
        scene=simulation.scene() if with_scene else None,
    )


def black_pictures(rig: Rig) -> dict[str, NDArray[np.uint8]]:
    """Camera name → a picture on which nothing can be seen."""
    return {camera.name: np.zeros(camera.shape, np.uint8) for camera in rig.cameras}


def _ask(policy: Policy, observation: Observation) -> Plan:
    """The policy's plan; raises MimicError with what went wrong in it."""
    try:
        plan = policy.plan(observation)
    except MimicError:
        raise
    except Exception as error:  # a user's policy may raise anything: it fails its route, not the whole evaluation
        raise MimicError(f"the policy raised {type(error).__name__}: {error}") from error
    if not isinstance(plan, Plan):
        raise ContractError(f"the policy returned a {type(plan).__name__}, must be a Plan")
    if plan.stamp_ns != observation.stamp_ns:
        raise ContractError(f"plan.stamp_ns: is {plan.stamp_ns}, must be the observation's {observation.stamp_ns}")
    return plan
