"""What the cameras of a rig see of a world at one moment."""

from collections.abc import Mapping, Sequence
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import Labels
from mimic_contracts.rig import CameraSpec
from mimic_sim.camera_effects import Lens, effects_of
from mimic_sim.moment import Moment
from mimic_sim.renderer import Renderer
from mimic_sim.scene_meshes import scene_mesh
from mimic_sim.scenery import scenery_of
from mimic_sim.signal_meshes import Lamps
from mimic_sim.world import World


class View:
    """Renders a world; a context manager that gives the GL context back. are_lamps_dark: no signal shows anything."""

    def __init__(self, world: World, cameras: Sequence[CameraSpec], *, are_lamps_dark: bool = False) -> None:
        self._cameras, self._lamps, self._are_lamps_dark = cameras, Lamps(world.network.signals), are_lamps_dark
        route, scenery = world.route, scenery_of(world.route.scenery, seed=world.route.seed)
        effects = effects_of(route.camera, world.look, seed=route.seed)
        self._lenses = {camera: Lens(effects, camera, seed=route.seed) for camera in cameras}
        mesh = scene_mesh(world.network, seed=route.seed, scenery=scenery)
        self._of: Moment | None = None
        self._renderer = Renderer(mesh, world.look, cameras, seed=route.seed, scenery=scenery)

    def __enter__(self) -> "View":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Give the GL context back."""
        self._renderer.release()

    def pictures(self, moment: Moment) -> dict[str, NDArray[np.uint8]]:
        """Camera name → (H, W, 3) uint8 RGB of every camera."""
        return {camera.name: self.picture(camera, moment) for camera in self._cameras}

    def picture(self, camera: CameraSpec, moment: Moment) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of one of the cameras."""
        pose, lamps = self._posed(moment)
        picture = self._renderer.render(camera, pose, stamp_ns=moment.stamp_ns, actors=moment.actors, lamps=lamps)
        return self._lenses[camera].apply(picture, moment.stamp_ns)

    def labels(self, moment: Moment) -> dict[str, Labels]:
        """Camera name → what the pixels of its picture show; instances count the actors of the moment."""
        pose, lamps = self._posed(moment)
        return {c.name: self._renderer.labels(c, pose, actors=moment.actors, lamps=lamps) for c in self._cameras}

    def _posed(self, moment: Moment) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """The car's pose and the lamps of a moment, made once for all its pictures and labels."""
        if self._of is not moment:
            self._of, self._pose, self._lit = moment, moment.ego.pose, self._lamps.quads(self._shown(moment))
        return self._pose, self._lit

    def _shown(self, moment: Moment) -> Mapping[str, str]:
        """The signals' states that the lamps are lit by."""
        return {name: "O" * len(state) for name, state in moment.signals.items()} if self._are_lamps_dark else moment.signals
