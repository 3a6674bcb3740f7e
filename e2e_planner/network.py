"""The planner: pictures, ego motion and route in, plans out.

One encoder for all cameras, then a view of what it found, then the head of the embodiment. With perception heads the
encoder learns from labels first, and planning begins with a driver's questions (perception.situation): what of the road, then
who is where on it, then where to go and how fast.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from e2e_planner.plan_heads import Head, PathSpeedHead
from e2e_planner.recipe import EGO_SCALES, Network, Recipe, route_inputs
from e2e_planner.views import WAY, FlatView, RoadView, TrafficView, flat_tokens
from mimic_contracts.action_spec import STEERING_ONLY
from mimic_contracts.rig import Rig
from perception.encoder import Encoder, EncoderConfig, centred
from perception.ground_view import GroundView
from perception.heads import NECK_STAGES, Neck, PictureHeads
from perception.points import Points, point_values, road_users
from perception.situation import LEAD, LEAD_VALUES, SPOKEN_VALUES, RoadHead, lead_answers, metres, spoken


class PlannerNetwork(nn.Module):
    """pictures: one (N, 6, H, W) uint8 a camera of the rig [RGB of t, RGB of t - history]; ego: (N, 2·E) scaled values
    and validity bits; route: (N, route_inputs) of recipe.Recipe. rig None: the twin, which has no eyes.

    What is seen (`encode`) depends on the pictures alone, so that it can be kept while what is done about it (`decide`) is
    learned. is_symmetric: a mirrored picture asks for the opposite angle, see `both_ways`.
    """

    head: Head

    def __init__(self, sizes: Network, *, rig: Rig | None, ego_inputs: tuple[str, ...], has_route_points: bool, head: Head, is_symmetric: bool = False) -> None:
        super().__init__()
        self.cameras = tuple(camera.name for camera in rig.cameras) if rig else ()
        self.ego_inputs, self.is_symmetric = ego_inputs, is_symmetric
        told = 2 * len(ego_inputs) + route_inputs(has_route_points)
        self.neck: Neck | None = None
        self.view: FlatView | RoadView
        if rig is None:
            self.view = FlatView(sizes, channels_in=0, places=0, told=told)
        else:
            config = EncoderConfig(
                widths=sizes.widths,
                blocks=sizes.blocks,
                pictures=2,
                correlation_cells=sizes.correlation_cells,
                motion_alone=sizes.motion_alone,
                cameras=len(rig.cameras),
            )
            self.encoder = Encoder(config)
            stride = config.stride // 2 if sizes.tokens else config.stride
            places = sum(-(-c.height_px // stride) * -(-c.width_px // stride) for c in rig.cameras)
            if sizes.tokens:
                self.neck = Neck(sizes.widths[-NECK_STAGES:], sizes.tokens, len(rig.cameras))
                self.picture_heads, self.points, self.ground = PictureHeads(len(rig.cameras)), Points(rig), GroundView(rig)
                self.view = RoadView(sizes, places=places, point_values=point_values(len(rig.cameras)), route=route_inputs(has_route_points))
                self.road, self.lead = RoadHead(sizes.width), nn.Linear(sizes.width, LEAD_VALUES)
                self.traffic = TrafficView(sizes, told=told + SPOKEN_VALUES)
            else:
                self.view = FlatView(sizes, channels_in=config.channels_out, places=places, told=told)
        self.head = head

    def forward(self, pictures: tuple[Tensor, ...], ego: Tensor, route: Tensor) -> dict[str, Tensor]:
        """The head's outputs, and with perception heads what is said of the situation, with nothing remembered."""
        return self.decide(self.encode(pictures), ego, route)

    def both_ways(self, plans: Tensor, pictures: tuple[Tensor, ...], ego: Tensor, route: Tensor) -> Tensor:
        """The plans (N, K, T, C) of these pictures; where it is symmetric, their mean with the opposite of what the mirrored ones ask for."""
        if not self.is_symmetric:
            return plans
        mirrored, _ = self.head.plans(self(tuple(picture.flip(-1) for picture in pictures), ego, route))
        return (plans - mirrored) / 2.0

    def encode(self, pictures: tuple[Tensor, ...]) -> Tensor | None:
        """What is seen: with perception heads (N, values) of `flat_tokens`, else (N, places, channels); None without eyes."""
        if not self.cameras:
            return None
        if self.has_perception:
            return self.perceive(pictures)[0]
        maps = [self.encoder(picture, camera) for camera, picture in enumerate(pictures)]
        return torch.cat([features.flatten(2) for features in maps], 2).transpose(1, 2)

    def perceive(self, pictures: tuple[Tensor, ...]) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """As `encode`, and beside it what the picture heads say of each camera."""
        assert self.neck is not None
        tokens, fine, said = [], [], []
        for camera, picture in enumerate(pictures):
            pixels = centred(picture)
            pyramid = self.encoder.pyramid(pixels, camera)
            tokens.append(self.neck.tokens(pyramid, camera))
            fine.append(self.neck.fine(pixels[:, :3], pyramid, tokens[-1], camera))
            said.append(self.picture_heads(fine[-1], camera))
        ground = self.ground([heads["semantic"].detach() for heads in said])
        return flat_tokens(tokens, ground, self.points(pictures, fine, said)), said

    def decide(self, seen: Tensor | None, ego: Tensor, route: Tensor, recalled: Tensor | None = None) -> dict[str, Tensor]:
        """From what is seen to the outputs. recalled: (N, ROAD_USERS, ROAD_USER_VALUES) of a moment ago (e2e_planner.recall), for a
        network with perception heads; None: nothing."""
        answers: dict[str, Tensor] = {}
        ground: Tensor | None = None
        if isinstance(self.view, FlatView):
            features = self.view(seen, torch.cat([ego, route], 1))
        else:
            assert seen is not None
            ground = self.view.ground_of(seen)
            road = self.view(seen, route)
            answers = self.road(road)
            known = {name: answer.detach().float() for name, answer in answers.items()}  # learned from labels alone
            users = road_users(seen, len(self.cameras))
            before = torch.zeros_like(users) if recalled is None else recalled
            features = self.traffic(users, before, known["lane_m"], torch.cat([ego, route, spoken(known)], 1), road[WAY])
            answers |= lead_answers(self.lead(features[LEAD]))
        where, how_fast = features["path"], features["speed"]
        outputs = self.head(where, how_fast, *self._ego_speed(ego), ground) if isinstance(self.head, PathSpeedHead) else self.head(where)
        return outputs | answers

    @property
    def has_perception(self) -> bool:
        """Whether it has heads that learn from labels."""
        return self.neck is not None

    def seeing_parts(self) -> tuple[nn.Module, ...]:
        """What `encode` and the picture heads are made of."""
        return (self.encoder,) if self.neck is None else (self.encoder, self.neck, self.picture_heads)

    def _ego_speed(self, ego: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1) m/s, and (N, 1) whether it is known."""
        if "speed_mps" not in self.ego_inputs:
            return ego.new_zeros(len(ego), 1), ego.new_zeros(len(ego), 1)
        index = self.ego_inputs.index("speed_mps")
        known = len(self.ego_inputs) + index
        return EGO_SCALES["speed_mps"] * ego[:, index : index + 1], ego[:, known : known + 1]


class DeployedNetwork(nn.Module):
    """What is exported: plans (N, K, T, C) and probabilities (N, K); when something is recalled the road users now (N, ROAD_USERS,
    ROAD_USER_VALUES), too, to be recalled later."""

    def __init__(self, network: PlannerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """inputs: the pictures in the rig's order, ego, route, and what is recalled, if anything is."""
        network, count = self.network, len(self.network.cameras)
        seen = network.encode(inputs[:count])
        plans, logits = network.head.plans(network.decide(seen, *inputs[count:]))
        plans = network.both_ways(plans, inputs[:count], *inputs[count : count + 2])
        users = () if seen is None or len(inputs) == count + 2 else (road_users(seen, count),)
        return (plans, logits.softmax(-1), *users)


def perception_outputs(cameras: Sequence[str]) -> tuple[str, ...]:
    """Names of what DeployedPerception says."""
    return (
        *(f"{kind}_{camera}" for camera in cameras for kind in ("semantic", "depth", "heat", "boxes")),
        "light",
        "rule",
        "line_m",
        "junction",
        "zebra",
        "lead",
        "lane_m",
    )


class DeployedPerception(nn.Module):
    """What is exported of the perception heads, of each camera: semantic (N, classes, h, w) probabilities, depth (N, h, w) m,
    heat (N, kinds, h, w) probabilities, boxes (N, BOX_VALUES, h, w) as agent_boxes.decode takes them; then light and rule:
    probabilities (N, LIGHTS), (N, RULES) of perception.situation; line_m (N,) from the bumper; junction (N, 3) [probability, start m,
    end m]; zebra (N, 2) [probability, m]; lead (N, 3) [probability, gap m, speed m/s]; lane_m (N, S, 2) at LANE_STATIONS_M."""

    def __init__(self, network: PlannerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """inputs: the pictures in the rig's order, ego, route."""
        *pictures, ego, route = inputs
        seen, said = self.network.perceive(tuple(pictures))
        found = self.network.decide(seen, ego, route)
        places = [(s["semantic"].softmax(1), s["log_depth"][:, 0].exp(), s["heat"].sigmoid(), s["boxes"]) for s in said]
        junction = torch.stack([found["has_junction"].sigmoid(), metres(found["junction_start"]), metres(found["junction_end"])], 1)
        zebra = torch.stack([found["has_zebra"].sigmoid(), metres(found["zebra"])], 1)
        lead = torch.stack([found["has_lead"].sigmoid(), metres(found["lead_gap"]), found["lead_mps"]], 1)
        road = (found["light"].softmax(1), found["rule"].softmax(1), metres(found["line"]), junction, zebra)
        return (*chain(*places), *road, lead, found["lane_m"])


def make_network(recipe: Recipe, head: Head, *, has_eyes: bool = True) -> PlannerNetwork:
    """The network of a recipe, or its twin without eyes."""
    rig = recipe.load_rig() if has_eyes else None
    # It has learned from mirrored pictures, and is told nothing else that would have to be mirrored.
    is_symmetric = has_eyes and recipe.augmentation.mirror and recipe.spec() is STEERING_ONLY and not (recipe.ego_inputs or recipe.has_route_points)
    return PlannerNetwork(recipe.network, rig=rig, ego_inputs=recipe.ego_inputs, has_route_points=recipe.has_route_points, head=head, is_symmetric=is_symmetric)
