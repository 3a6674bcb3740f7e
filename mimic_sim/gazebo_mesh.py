"""A mesh as Wavefront OBJ with materials and textures, for Gazebo.

Its loader (gz-common, graphics/src/OBJLoader.cc) takes coordinates as they are, z up, and makes one draw call of each
material, so tints are rounded; a missing roughness would be 0, a mirror. gz-math's Color divides what is over 1 by 255.
"""

from pathlib import Path

import cv2
import numpy as np

from mimic_sim.mesh import Mesh
from mimic_sim.textures import MATERIALS, texture_layers

TINT_STEPS = 8
ROUGHNESS = 0.9


def write_obj(mesh: Mesh, path: Path) -> None:
    """Write PATH.obj, and beside it PATH.mtl and a picture of each surface that it needs; the same bytes every time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    quads = mesh.vertices.reshape(-1, 4, mesh.vertices.shape[1]).astype(np.float64)
    tints = np.clip(np.round(quads[:, 0, 9:12] * TINT_STEPS), 0, TINT_STEPS)
    kinds, kind_of = np.unique(np.column_stack([quads[:, 0, 8], tints]).astype(np.int64), axis=0, return_inverse=True)
    names = [f"{MATERIALS[layer]}_{red}_{green}_{blue}" for layer, red, green, blue in kinds]
    points, uv, normals = (quads[..., columns].reshape(-1, columns.stop - columns.start) for columns in (slice(0, 3), slice(6, 8), slice(3, 6)))
    lines = [f"mtllib {path.stem}.mtl", f"o {path.stem}"]
    indices = []
    for tag, values, digits in (("v", points, 3), ("vt", uv, 4), ("vn", normals, 3)):
        rows, index = np.unique(np.round(values, digits) + 0.0, axis=0, return_inverse=True)  # + 0.0: no minus before a zero
        lines += [f"{tag} " + " ".join(f"{number:.{digits}f}" for number in row) for row in rows.tolist()]
        indices.append(index.reshape(-1, 4) + 1)
    corners = np.stack(indices, axis=2)  # (Q, 4, 3)
    for kind, name in enumerate(names):
        lines.append(f"usemtl {name}")
        for quad in corners[kind_of.ravel() == kind].tolist():
            a, b, c, d = (f"{point}/{texture}/{normal}" for point, texture, normal in quad)
            lines += [f"f {a} {b} {c}"] if quad[2][0] == quad[3][0] else [f"f {a} {b} {c}", f"f {a} {c} {d}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".mtl").write_text("".join(_material(name, kind) for name, kind in zip(names, kinds.tolist(), strict=True)), encoding="utf-8")
    layers = texture_layers()
    for layer in sorted(set(kinds[:, 0].tolist())):
        # A surface's first row is its lowest, a picture's the highest; its alpha says glass, a picture's would be holes.
        cv2.imwrite(str(path.with_name(f"{MATERIALS[layer]}.png")), cv2.cvtColor(layers[layer, ::-1, :, :3], cv2.COLOR_RGB2BGR))


def _material(name: str, kind: list[int]) -> str:
    """Surfaces and tints are painted as they shall look, the colour of a material is linear: squared, as in shaders.py."""
    red, green, blue = ((share / TINT_STEPS) ** 2 for share in kind[1:])
    return f"newmtl {name}\nKd {red:.4f} {green:.4f} {blue:.4f}\nKs 0 0 0\nPr {ROUGHNESS}\nPm 0\nmap_Kd {MATERIALS[kind[0]]}.png\n\n"
