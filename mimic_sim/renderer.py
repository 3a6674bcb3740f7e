"""Pictures and labels of a world for any pinhole camera of the vehicle: moderngl on EGL, no window, no GPU needed.

The same world, look and pose give the same bytes, whatever was rendered before. Static geometry lies in chunks that
are culled against the view; the shadow map is kept for a square of 128 m and drawn anew only when the car has moved
on by SHADOW_CELL_M. What moves (road users, signals' lamps) is made of quads anew for each picture and drawn after the
static scene with the same shader; road users darken the ground below them instead of being in the shadow map. Labels
are drawn from the same quads, one sample a pixel, so that no two classes mix.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mimic_contracts.labels import Labels
from mimic_contracts.rig import CameraSpec
from mimic_sim import shaders
from mimic_sim.actor_meshes import actor_quads, shade_quads
from mimic_sim.actors import Actor
from mimic_sim.gl import label_target, open_context, picture_target, set_uniforms, surface_textures, vectors
from mimic_sim.looks import Look
from mimic_sim.mesh import INSTANCE_STEP, VERTEX_FLOATS, Mesh
from mimic_sim.night import MAX_BEAMS, MAX_LAMPS, beams, nearest_lamps, street_lamps
from mimic_sim.projection import FAR_M, SHADOW_M, camera_pose, direction, projection_matrix, sun_matrix, view_matrix
from mimic_sim.scenery import NORTH, Scenery

CLEAR_VIEW = 4.5  # optical depths beyond which nothing is seen through fog
SHADOW_PX, SHADOW_CELL_M = 1024, 16.0
RAIN_STREAKS = 220
SHADE = 0.6  # how much of the light is taken from the ground below a road user
LAMP_RADIUS_M = 1.0  # more than any quad of a lamp
NO_LAMPS = np.zeros((0, VERTEX_FLOATS), np.float32)
NO_CHUNKS, NO_SPHERES = np.zeros((0, 2), np.int64), np.zeros((0, 4))
VERTEX_LAYOUT = ("3f 3f 2f 1f 3f 4x", "in_position", "in_normal", "in_uv", "in_material", "in_tint")
LABEL_LAYOUT = ("3f 36x 1f", "in_position", "in_label")


@dataclass(frozen=True, eq=False)
class _Sight:
    """What a camera has in view: (first quad, number of quads) of chunks and indices of actors, near ones first."""

    eye: NDArray[np.float64]
    rotation: NDArray[np.float64]
    view_projection: NDArray[np.float64]
    chunks: list[tuple[int, int]]
    near: list[int]


class Renderer:
    """One world in one look. It holds a GL context: use it as a context manager, or release() it."""

    def __init__(self, mesh: Mesh, look: Look, cameras: Sequence[CameraSpec], *, seed: int = 0, scenery: Scenery = NORTH) -> None:
        self._look, self._mesh, self._seed, self._scenery = look, mesh, seed, scenery
        self._gl = open_context()
        self._gl.depth_func = "<="  # the sky lies exactly at the far end
        self._cameras = tuple(cameras)
        self._targets = {camera: picture_target(self._gl, camera) for camera in cameras}
        self._label_targets: dict[CameraSpec, Any] = {}
        self._held: dict[CameraSpec, tuple[NDArray[np.float64], Sequence[Actor], NDArray[np.float32], _Sight, NDArray[np.float32]]] = {}
        self._scene = self._gl.program(vertex_shader=shaders.SCENE_VERTEX, fragment_shader=shaders.scene_fragment(look))
        self._label = self._gl.program(vertex_shader=shaders.LABEL_VERTEX, fragment_shader=shaders.LABEL_FRAGMENT)
        self._sky = self._gl.program(vertex_shader=shaders.SKY_VERTEX, fragment_shader=shaders.SKY_FRAGMENT)
        self._shadow = self._gl.program(vertex_shader=shaders.SHADOW_VERTEX, fragment_shader=shaders.SHADOW_FRAGMENT)
        self._shade = self._gl.program(vertex_shader=shaders.SCENE_VERTEX, fragment_shader=shaders.SHADE_FRAGMENT)
        self._rain = self._gl.program(vertex_shader=shaders.RAIN_VERTEX, fragment_shader=shaders.RAIN_FRAGMENT)
        vertices = self._gl.buffer(mesh.vertices.tobytes())
        indices = self._gl.buffer(mesh.quad_indices().tobytes())
        self._scene_array = self._gl.vertex_array(self._scene, [(vertices, *VERTEX_LAYOUT)], indices)
        self._label_array = self._gl.vertex_array(self._label, [(vertices, *LABEL_LAYOUT)], indices)
        self._shadow_array = self._gl.vertex_array(self._shadow, [(vertices, "3f 40x", "in_position")], indices)
        corners = self._gl.buffer(np.array([-1, -1, 3, -1, -1, 3], np.float32).tobytes())
        self._sky_array = self._gl.vertex_array(self._sky, [(corners, "2f", "in_position")])
        self._streaks = self._gl.buffer(reserve=RAIN_STREAKS * 6 * 2 * 4, dynamic=True)
        self._rain_array = self._gl.vertex_array(self._rain, [(self._streaks, "2f", "in_position")])
        self._surfaces = surface_textures(self._gl)
        self._shadow_map = self._gl.depth_texture((SHADOW_PX, SHADOW_PX))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow_target = self._gl.framebuffer(depth_attachment=self._shadow_map)
        self._shadow_cell: tuple[int, int] | None = None
        self._street_lamps = street_lamps(mesh)
        self._sun = direction(look.sun_azimuth_rad, look.sun_elevation_rad)
        self._set_look()

    def __enter__(self) -> "Renderer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Give the GL context back."""
        self._gl.release()

    def pictures(
        self, pose: NDArray[np.float64], stamp_ns: int, actors: Sequence[Actor] = (), *, lamps: NDArray[np.float32] = NO_LAMPS
    ) -> dict[str, NDArray[np.uint8]]:
        """Camera name → (H, W, 3) uint8 RGB of every camera, with the vehicle at pose (3,) [x_m, y_m, yaw_rad]; else as render."""
        return {camera.name: self.render(camera, pose, stamp_ns=stamp_ns, actors=actors, lamps=lamps) for camera in self._cameras}

    def render(
        self,
        camera: CameraSpec,
        pose: NDArray[np.float64],
        *,
        stamp_ns: int = 0,
        actors: Sequence[Actor] = (),
        lamps: NDArray[np.float32] = NO_LAMPS,
    ) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of one camera; stamp_ns moves the rain and blinks indicators.

        actors: road users, in the frame of the mesh; lamps: (4 Q, VERTEX_FLOATS) vertices as in Mesh of what shines now
        (a tint above 1.5 shines by itself).
        """
        sight, moving = self._prepared(camera, pose, actors, lamps, stamp_ns=stamp_ns)
        self._draw_shadows(pose)
        target = self._targets[camera]
        target.use()
        self._gl.viewport = (0, 0, *target.size)
        target.clear(depth=1.0)
        self._gl.enable_only(self._gl.DEPTH_TEST | self._gl.CULL_FACE)
        self._surfaces.use(0)
        self._shadow_map.use(1)
        set_uniforms(self._scene, u_view_projection=sight.view_projection, u_eye=sight.eye)
        if self._look.beam > 0.0:
            self._set_lamps([actors[i] for i in sight.near], pose)
        for first, count in sight.chunks:
            self._scene_array.render(first=6 * first, vertices=6 * count)
        if sight.near:
            set_uniforms(self._shade, u_view_projection=sight.view_projection)
            self._gl.enable(self._gl.BLEND)
            self._draw_quads(self._shade, shade_quads([actors[i] for i in sight.near]), "3f 12x 2f 20x", "in_position", "in_uv")
            self._gl.disable(self._gl.BLEND)
        self._draw_quads(self._scene, moving, *VERTEX_LAYOUT)
        set_uniforms(self._sky, u_to_world=np.linalg.inv(projection_matrix(camera) @ view_matrix(np.zeros(3), sight.rotation)))
        self._sky_array.render()
        if self._look.rain > 0:
            self._draw_rain(camera, stamp_ns)
        drawn = np.frombuffer(target.read(components=3, alignment=1), np.uint8).reshape(*target.size[::-1], 3)
        picture = cv2.resize(drawn, (camera.width_px, camera.height_px), interpolation=cv2.INTER_AREA)
        return picture[::-1].copy()  # GL counts rows from below

    def labels(self, camera: CameraSpec, pose: NDArray[np.float64], *, actors: Sequence[Actor] = (), lamps: NDArray[np.float32] = NO_LAMPS) -> Labels:
        """What the pixels of a picture of the same arguments show; instances count the actors as given.

        What the air hides altogether is sky; rain, light and shade have no labels.
        """
        sight, moving = self._prepared(camera, pose, actors, lamps)
        target = self._label_targets.get(camera) or self._label_targets.setdefault(camera, label_target(self._gl, camera))
        target.use()
        self._gl.viewport = (0, 0, camera.width_px, camera.height_px)
        target.clear(0.0, np.inf, depth=1.0)
        self._gl.enable_only(self._gl.DEPTH_TEST | self._gl.CULL_FACE)
        set_uniforms(self._label, u_view_projection=sight.view_projection)
        for first, count in sight.chunks:
            self._label_array.render(first=6 * first, vertices=6 * count)
        self._draw_quads(self._label, moving, *LABEL_LAYOUT)
        shown = np.frombuffer(target.read(components=2, dtype="f4"), np.float32).reshape(camera.height_px, camera.width_px, 2)[::-1]
        instance, semantic = np.divmod(shown[..., 0].astype(np.int32), INSTANCE_STEP)
        return Labels(semantic=semantic.astype(np.uint8), instance=instance.astype(np.uint16), depth_m=shown[..., 1].copy())

    def _prepared(
        self, camera: CameraSpec, pose: NDArray[np.float64], actors: Sequence[Actor], lamps: NDArray[np.float32], *, stamp_ns: int | None = None
    ) -> tuple[_Sight, NDArray[np.float32]]:
        """What a camera sees, and what moves there; for labels, whose stamp does not matter, as for the picture before if
        that was of the same things."""
        held = self._held.get(camera)
        if stamp_ns is None and held is not None and held[0] is pose and held[1] is actors and held[2] is lamps:
            return held[3:]
        sight = self._sight(camera, pose, actors)
        moving = self._moving(sight, actors, lamps, stamp_ns or 0)
        self._held[camera] = (pose, actors, lamps, sight, moving)
        return sight, moving

    def _moving(self, sight: _Sight, actors: Sequence[Actor], lamps: NDArray[np.float32], stamp_ns: int) -> NDArray[np.float32]:
        """(4 Q, VERTEX_FLOATS) of the road users in view and the lamps."""
        quads = lamps.reshape(-1, 4, VERTEX_FLOATS)
        spheres = np.concatenate([quads[:, :, :3].mean(axis=1), np.full((len(quads), 1), LAMP_RADIUS_M)], axis=1)
        seen = quads[self._in_view(spheres, sight.view_projection, sight.eye)].reshape(-1, VERTEX_FLOATS)
        return np.concatenate([actor_quads(actors, stamp_ns, lights=self._look.vehicle_lights, shown=sight.near, scenery=self._scenery), seen])

    def _draw_quads(self, program: Any, vertices: NDArray[np.float32], *layout: str) -> None:
        """Draw quads that live for one picture only."""
        if not len(vertices):
            return
        vertex_buffer = self._gl.buffer(vertices.tobytes())
        index_buffer = self._gl.buffer(Mesh(vertices, NO_CHUNKS, NO_SPHERES).quad_indices().tobytes())
        array = self._gl.vertex_array(program, [(vertex_buffer, *layout)], index_buffer)
        array.render()
        for held in (array, index_buffer, vertex_buffer):
            held.release()

    def _sight(self, camera: CameraSpec, pose: NDArray[np.float64], actors: Sequence[Actor]) -> _Sight:
        eye, rotation = camera_pose(camera, pose)
        view_projection = projection_matrix(camera) @ view_matrix(eye, rotation)
        chunks = self._in_view(self._mesh.spheres, view_projection, eye)
        spheres = [(a.x_m, a.y_m, a.height_m / 2.0, math.hypot(a.length_m, a.width_m, a.height_m) / 2.0 + 0.5) for a in actors]
        near = self._in_view(np.array(spheres).reshape(-1, 4), view_projection, eye)
        return _Sight(eye, rotation, view_projection, [tuple(self._mesh.chunks[i]) for i in chunks], near.tolist())

    def _in_view(self, spheres: NDArray[np.float64], view_projection: NDArray[np.float64], eye: NDArray[np.float64]) -> NDArray[np.int64]:
        """Indices of the spheres (N, 4) [x, y, z, radius] that the view touches and the air lets through, near ones first."""
        planes = np.concatenate(
            [view_projection[3] + view_projection[:2], view_projection[3] - view_projection[:2], view_projection[3:] + view_projection[2:3]]
        )
        planes /= np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
        distance = spheres[:, :3] @ planes[:, :3].T + planes[:, 3]
        away = np.linalg.norm(spheres[:, :3] - eye, axis=1) - spheres[:, 3]
        reach = min(FAR_M, CLEAR_VIEW / self._look.fog_1pm)
        seen = np.flatnonzero((distance > -spheres[:, 3:4]).all(axis=1) & (away < reach))
        return seen[np.argsort(away[seen], kind="stable")]

    def _draw_shadows(self, pose: NDArray[np.float64]) -> None:
        ahead = pose[:2] + 25.0 * np.array([np.cos(pose[2]), np.sin(pose[2])])
        cell = (round(float(ahead[0]) / SHADOW_CELL_M), round(float(ahead[1]) / SHADOW_CELL_M))
        if cell == self._shadow_cell or self._look.cloudiness >= shaders.OVERCAST:
            return
        self._shadow_cell = cell
        middle = np.array([cell[0] * SHADOW_CELL_M, cell[1] * SHADOW_CELL_M, 0.0])
        projection = sun_matrix(middle, self._sun)
        set_uniforms(self._shadow, u_shadow_projection=projection)
        set_uniforms(self._scene, u_shadow_projection=projection)
        self._shadow_target.use()
        self._gl.viewport = (0, 0, SHADOW_PX, SHADOW_PX)
        self._shadow_target.clear(depth=1.0)
        self._gl.enable_only(self._gl.DEPTH_TEST)
        spheres = self._mesh.spheres
        # A low sun's long shadows come from outside the square: take everything whose shadow can reach it.
        lit = (projection[:2, :3] @ spheres[:, :3].T + projection[:2, 3:4]) * SHADOW_M / 2.0
        for i in np.flatnonzero((np.abs(lit) < SHADOW_M / 2.0 + spheres[:, 3]).all(axis=0)):
            first, count = self._mesh.chunks[i]
            self._shadow_array.render(first=6 * first, vertices=6 * count)

    def _set_lamps(self, near: Sequence[Actor], pose: NDArray[np.float64]) -> None:
        lamps, lit = nearest_lamps(self._street_lamps, pose), beams(near, pose)
        positions, directions = vectors(lit[:, :3], MAX_BEAMS), vectors(lit[:, 3:], MAX_BEAMS)
        set_uniforms(self._scene, u_beam_count=len(lit), u_beam_positions=positions, u_beam_directions=directions)
        set_uniforms(self._scene, u_lamp_count=len(lamps), u_lamps=vectors(lamps, MAX_LAMPS))

    def _draw_rain(self, camera: CameraSpec, stamp_ns: int) -> None:
        rng = np.random.default_rng([self._seed, stamp_ns])
        top = rng.uniform(-1.2, 1.2, (RAIN_STREAKS, 2))
        length = rng.uniform(0.04, 0.16, RAIN_STREAKS)
        width = np.full(RAIN_STREAKS, 1.2 / camera.width_px)
        foot = top - np.stack([0.08 * length, length], axis=1)
        side = np.stack([width, np.zeros_like(width)], axis=1)
        corners = np.stack([top, foot, foot + side, top, foot + side, top + side], axis=1)
        self._streaks.write(corners.astype(np.float32).tobytes())
        self._gl.enable_only(self._gl.BLEND)
        self._rain_array.render()

    def _set_look(self) -> None:
        look = self._look
        light = {
            "u_sun_direction": self._sun,
            "u_sun_colour": look.sun_colour,
            "u_sky_colour": look.sky_colour,
            "u_horizon_colour": look.horizon_colour,
            "u_cloudiness": look.cloudiness,
            "u_fog_1pm": look.fog_1pm,
            "u_exposure": look.exposure,
            "u_ambient": look.ambient,
        }
        # A map that is never drawn must not darken anything: its square is put where nobody is.
        nowhere = sun_matrix(np.array([1e6, 1e6, 0.0]), self._sun)
        set_uniforms(
            self._scene,
            **light,
            u_wetness=look.wetness,
            u_lit_windows=look.lit_windows,
            u_beam=look.beam,
            u_street_lamp=look.street_lamp,
            u_surfaces=0,
            u_shadow=1,
            u_shadow_projection=nowhere,
        )
        set_uniforms(self._sky, **light)
        set_uniforms(self._shade, u_shade=SHADE)
        set_uniforms(self._rain, u_streak_colour=np.sqrt(np.minimum(np.array(look.horizon_colour) * 1.5, 1.0)))
