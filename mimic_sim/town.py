"""Makes a town: a layout of ours becomes a SUMO network by SUMO's netconvert."""

import gzip
import re
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

from mimic_contracts.errors import MimicError, require_package
from mimic_sim.town_layout import town_layout
from mimic_sim.town_streets import GIVE_WAY, JOINT, SIGNALS, SIGNALS_IN_TURN, STOP, STOP_ALL, ZEBRA, Edge, TownLayout

SIDEWALK_M, PARKING_M, CROSSING_M = 2.2, 2.2, 3.5
PARKING_CLASS = "custom1"  # a lane that lets in only these, which nobody drives, is for parking
CORNER_RADIUS_M = 8.0
ALL_RED_S = 2
OPTIONS = {
    "offset.disable-normalization": "true",
    "no-turnarounds": "true",
    "junctions.corner-detail": "5",
    "default.junctions.radius": f"{CORNER_RADIUS_M}",
    "walkingareas": "true",
    "tls.default-type": "static",
    "tls.cycle.time": "70",
    "tls.yellow.time": "3",
    "tls.allred.time": f"{ALL_RED_S}",
    "tls.left-green.time": "8",
}
PERMISSIVE_LEFTS = {"tls.minor-left.max-speed": "30", "tls.left-green.time": "0"}  # m/s of the oncoming traffic, s
PROTECTED_LEFTS = {"tls.minor-left.max-speed": "10"}
# netconvert puts no red between the straight traffic's phase and that of the left turns across it.
YELLOW_THEN_GREEN = re.compile(r'( *<phase duration="\d+" +state="([a-zA-Z]*y[a-zA-Z]*)"/>\n)(?= *<phase duration="\d+" +state="[a-zA-Z]*[gG])')
ALL_RED = '        <phase duration="{seconds}"  state="{state}"/>\n'
CONTROLS = {
    SIGNALS: {"type": "traffic_light"},
    SIGNALS_IN_TURN: {"type": "traffic_light", "tlLayout": "incoming"},
    STOP: {"type": "priority_stop"},
    STOP_ALL: {"type": "allway_stop"},
    GIVE_WAY: {"type": "priority"},
    JOINT: {"type": "priority"},
    ZEBRA: {"type": "priority"},
}
TIMEOUT_S = 60.0


def make_town(style: str, seed: int, path: Path) -> None:
    """Write the town of a style and a seed as a gzip'ed SUMO network: the same bytes every time.

    Raises MimicError without netconvert or when it fails, and what town_layout() raises.
    """
    text = network_xml(town_layout(style, seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def network_xml(layout: TownLayout) -> str:
    """The SUMO network of a layout; raises MimicError without netconvert or when it fails."""
    program = _netconvert()
    with tempfile.TemporaryDirectory() as folder:
        files = {f"{kind}-files": Path(folder) / f"town.{kind[:3]}.xml" for kind in ("node", "edge", "connection")}
        for file, root in zip(files.values(), (_nodes(layout), _edges(layout), _connections(layout)), strict=True):
            ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)
        out = Path(folder) / "town.net.xml"
        options = OPTIONS | (PROTECTED_LEFTS if layout.has_protected_lefts else PERMISSIVE_LEFTS) | files | {"output-file": out}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
        if done.returncode != 0:
            raise MimicError(f"netconvert ended with {done.returncode}: {' '.join(done.stderr.split())}")
        text = re.sub(r"<!--.*?-->\s*", "", out.read_text(encoding="utf-8"), count=1, flags=re.DOTALL)  # it tells date and paths
        return YELLOW_THEN_GREEN.sub(_with_all_red, text)


def _with_all_red(match: re.Match[str]) -> str:
    """A yellow phase with one more phase behind it."""
    phase, state = match.groups()
    return phase + ALL_RED.format(seconds=ALL_RED_S, state=state.replace("y", "r"))


def _netconvert() -> Path:
    require_package("sumo", extra="towns", purpose="making a town")
    spec = find_spec("sumo")
    program = Path(str(spec.origin)).parent / "bin" / "netconvert" if spec else Path("netconvert")
    if not program.is_file():
        raise MimicError(f"making a town needs SUMO's netconvert, which is not at {program}: pip install 'mimic_drive[towns]'")
    return program


def _nodes(layout: TownLayout) -> Element:
    root = Element("nodes")
    for node in layout.nodes:
        _add(root, "node", {"id": node.node_id, "x": node.x_m, "y": node.y_m, **CONTROLS[node.control]})
    return root


def _edges(layout: TownLayout) -> Element:
    root = Element("edges")
    waiting = layout.waiting()
    for edge in layout.edges:
        lanes = _lanes(edge)
        values = {
            "id": edge.edge_id,
            "from": edge.start,
            "to": edge.end,
            "priority": 1 if edge.edge_id in waiting else 2,
            "speed": f"{edge.kind.speed_limit_mps:.2f}",
        }
        shape = " ".join(f"{x},{y}" for x, y in edge.line_m)
        element = _add(root, "edge", {**values, "numLanes": len(lanes), "spreadType": "right", "shape": shape})
        for index, lane in enumerate(lanes):
            _add(element, "lane", {"index": index, **lane})
    return root


def _lanes(edge: Edge) -> list[dict[str, object]]:
    """SUMO's attributes of the lanes, from the right."""
    sidewalk: dict[str, object] = {"allow": "pedestrian", "width": SIDEWALK_M}
    parking: dict[str, object] = {"allow": PARKING_CLASS, "width": PARKING_M}
    driving: dict[str, object] = {"disallow": " ".join(("pedestrian", *edge.kind.shut_out)), "width": edge.kind.lane_width_m}
    return [sidewalk] * edge.kind.has_sidewalk + [parking] * edge.has_parking + [driving] * edge.lanes


def _connections(layout: TownLayout) -> Element:
    root = Element("connections")
    for c in layout.connections():
        lanes = {"fromLane": c.start.first_lane + c.start_lane, "toLane": c.end.first_lane + c.end_lane}
        _add(root, "connection", {"from": c.start.edge_id, "to": c.end.edge_id, **lanes})
    for node, edges in layout.crossings():
        _add(root, "crossing", {"node": node.node_id, "edges": " ".join(edge.edge_id for edge in edges), "priority": "true", "width": CROSSING_M})
    return root


def _add(parent: Element, tag: str, values: Mapping[str, object]) -> Element:
    return SubElement(parent, tag, {name: str(value) for name, value in values.items()})
