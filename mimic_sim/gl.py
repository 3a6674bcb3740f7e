"""What the renderer needs of OpenGL: a context without a window, targets, surfaces, uniforms."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.errors import MimicError, require_package
from mimic_contracts.rig import CameraSpec
from mimic_sim.textures import texture_layers

SUPERSAMPLING = 1.5  # on a CPU 4 samples a pixel take half as long again, in a town with its many small triangles
INSTALL = "apt-get install libegl1 libgl1-mesa-dri"


def open_context() -> Any:
    """A context of moderngl on EGL; raises MimicError with the mend where there is none."""
    require_package("moderngl", extra="sim", purpose="rendering")
    import moderngl

    try:
        return moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
    except Exception as error:  # glcontext raises bare Exceptions where a library or a driver is missing
        raise MimicError(f"rendering needs EGL and a GL driver, which cannot be used ({error}): {INSTALL}") from error


def picture_target(context: Any, camera: CameraSpec) -> Any:
    """Where a camera's picture is drawn, SUPERSAMPLING times as wide and high."""
    size = (round(SUPERSAMPLING * camera.width_px), round(SUPERSAMPLING * camera.height_px))
    return context.framebuffer([context.renderbuffer(size, 4)], context.depth_renderbuffer(size))


def label_target(context: Any, camera: CameraSpec) -> Any:
    """Where a camera's labels are drawn: two floats a pixel, label and depth."""
    size = (camera.width_px, camera.height_px)
    return context.framebuffer([context.renderbuffer(size, 2, dtype="f4")], context.depth_renderbuffer(size))


def surface_textures(context: Any) -> Any:
    """All materials as one array of textures."""
    layers = texture_layers()
    texture = context.texture_array((layers.shape[2], layers.shape[1], layers.shape[0]), 4, layers.tobytes())
    texture.build_mipmaps()
    texture.filter = (context.LINEAR_MIPMAP_LINEAR, context.LINEAR)
    texture.anisotropy = 1.0  # more costs several times the frame on a CPU
    return texture


def set_uniforms(program: Any, **values: Any) -> None:
    """Set uniforms, arrays as matrices (rows, columns); those that the compiler found unused do not exist."""
    for name, value in values.items():
        if name not in program:
            continue
        if isinstance(value, np.ndarray):
            program[name].write(np.ascontiguousarray(value.T, np.float32).tobytes())  # GL wants columns
        else:
            program[name].value = value


def vectors(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Rows (N, C) as set_uniforms takes them for an array of `count` vectors: (C, count), zeros at the end."""
    return np.concatenate([rows, np.zeros((count - len(rows), rows.shape[1]))]).T
