"""A small recorded drive with pictures and odometry, for the tests of replay."""

import cv2
import numpy as np
import simplejpeg
from bag_helpers import START_NS, odometry, picture, route, text, write_bag

from mimic_contracts.action_spec import CAR
from mimic_contracts.observation import ROUTE_COMMANDS
from mimic_contracts.plan import Plan

MAP = """
rig: mono
frame_rate_hz: 20.0
drive_id: "{bag}"
vehicle_id: test_car
driver_id: tester
region: desk
cameras:
  front: {topic: /camera/front/image_raw/compressed, crop: {left_px: 0, top_px: 40, width_px: 160, height_px: 80}}
signals:
  pose: {topic: /odom}
  route_command: {topic: /planning/route_command}
  route_points: {topic: /planning/route}
  speed_mps: {topic: /odom, field: twist.twist.linear.x}
  yaw_rate_radps: {topic: /odom, field: twist.twist.angular.z}
splits:
  test: ["nothing_matches_this"]
min_clip_s: 0.4
"""
PICTURE_NS, ODOMETRY_NS = 50_000_000, 20_000_000


def jpeg(number):
    image = np.full((120, 160, 3), 90, np.uint8)
    cv2.circle(image, (20 + number % 120, 80), 12, (220, 180, 60), -1)
    return simplejpeg.encode_jpeg(image, 90)


def record_drive(path, *, count=40, odometry_share=1.0, broken=(), has_route=False):
    """A bag of `count` pictures at 20 Hz and odometry at 50 Hz of a car that goes straight on at 8 m/s; with a route, half-way it
    is told to go to the left, to (60, 20) m."""
    messages = []
    if has_route:
        half_ns = START_NS + count // 2 * PICTURE_NS
        messages += [(half_ns, text("left")), (half_ns, route(half_ns, [(60.0, 20.0)], "camera"))]
    for k in range(count):
        stamp_ns = START_NS + k * PICTURE_NS
        messages.append((stamp_ns, picture(stamp_ns, jpeg(k)[:200] if k in broken else jpeg(k))))
    for k in range(-5, int(odometry_share * count * PICTURE_NS / ODOMETRY_NS) + 5) if odometry_share else ():
        stamp_ns = START_NS + k * ODOMETRY_NS + 3_000_000
        messages.append((stamp_ns, odometry(stamp_ns, x_m=8.0 * (stamp_ns - START_NS) / 1e9, yaw_rad=0.0, speed_mps=8.0, yaw_rate_radps=0.0)))
    return write_bag(path, sorted(messages, key=lambda message: message[0]))


def write_map(path, text=MAP):
    path.write_text(text)
    return path


class TowardsTheRoute:
    """Bends to the side of the nearest point of the route; its speed tells the command."""

    spec, rig_name = CAR, None

    def reset(self):
        pass

    def plan(self, observation):
        speed = 1.0 + ROUTE_COMMANDS.index(observation.route.command)
        bend = 1e-4 * observation.route.points_m[0, 1] / observation.route.points_m[0, 0] if len(observation.route.points_m) else 1e-6
        way = speed * CAR.times_s
        columns = [np.sin(bend * way) / bend, (1.0 - np.cos(bend * way)) / bend, bend * way, np.full(21, speed), np.zeros(21), np.full(21, bend)]
        return Plan.single(stamp_ns=observation.stamp_ns, spec=CAR, values=np.stack(columns, axis=1), model_id="towards_the_route")
