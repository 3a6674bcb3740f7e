"""The camera node as a process of its own, over DDS: raw and compressed, lockstep and real time, and what goes wrong."""

import numpy as np
import pytest
import simplejpeg

pytest.importorskip("rclpy", reason="rclpy is not installed")

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mimic_contracts.rig import load_rig
from mimic_contracts.ros_conversions import ns_to_stamp, rgb_array, rgb_message, stamp_to_ns
from mimic_contracts.ros_lifecycle import ERROR, OK, RELIABLE_QOS, SENSOR_QOS, WARN

pytestmark = pytest.mark.ros

FRONT = load_rig("mono").camera("front")
MS = 1_000_000
NAME = "camera_node"


def scene(seed):
    return np.random.default_rng(seed).integers(0, 256, FRONT.shape, dtype=np.uint8)


def info_message(camera=FRONT):
    return CameraInfo(
        height=camera.height_px, width=camera.width_px, distortion_model="plumb_bob", k=camera.intrinsics().ravel().tolist(), d=[0.0, 0.0, 0.0, 0.0, 0.0]
    )


def jpeg_message(payload, *, stamp_ns):
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")
    message.header.stamp = ns_to_stamp(stamp_ns)
    message.data.frombytes(payload)
    return message


class Camera:
    """A camera node, and what it says."""

    def __init__(self, ros, **parameters):
        self.ros = ros
        self.diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
        self.frames = ros.collect(Image, "/perception/frame", RELIABLE_QOS if parameters.get("lockstep") else SENSOR_QOS)
        ros.start("perception.camera_node", NAME, parameters)

    def up(self):
        assert self.ros.configure(NAME) and self.ros.activate(NAME)
        return self

    def statuses(self, level, text=""):
        """[(stamp_ns, status)] of this level whose message contains a text."""
        return [(stamp_to_ns(a.header.stamp), s) for a in self.diagnostics for s in a.status if s.level == level and text in s.message and s.name == NAME]

    def answered(self, stamp_ns):
        errors = [stamp for stamp, _ in self.statuses(ERROR)]
        return stamp_ns in errors or any(stamp_to_ns(f.header.stamp) == stamp_ns for f in self.frames)

    def tick(self, publisher, message):
        """Publish a tick's picture and wait for the answer: the frame, or the reason why there is none."""
        publisher.publish(message)
        stamp_ns = stamp_to_ns(message.header.stamp)
        self.ros.wait_until(lambda: self.answered(stamp_ns), f"answer to {stamp_ns}", timeout_s=5.0)
        frames = [f for f in self.frames if stamp_to_ns(f.header.stamp) == stamp_ns]
        return rgb_array(frames[0]) if frames else next(s.message for stamp, s in self.statuses(ERROR) if stamp == stamp_ns)


def test_lockstep_raw(ros):
    camera = Camera(ros, lockstep=True).up()
    info = ros.publisher(CameraInfo, "/camera/front/camera_info")
    pictures = ros.publisher(Image, "/camera/front/image_raw")

    # The first picture may overtake its camera_info: it waits for it.
    pictures.publish(rgb_message(scene(1), stamp_ns=50 * MS, frame_id="f"))
    ros.spin_for(0.2)
    assert not camera.frames and not camera.answered(50 * MS)
    info.publish(info_message())
    ros.wait_until(lambda: camera.answered(50 * MS), "the first frame", timeout_s=5.0)
    np.testing.assert_array_equal(rgb_array(camera.frames[0]), scene(1))

    # A camera like the rig's: the same bytes, each tick once, in order, with its stamp.
    camera.frames.clear()
    for k in range(10, 30):
        np.testing.assert_array_equal(camera.tick(pictures, rgb_message(scene(k), stamp_ns=k * 50 * MS, frame_id="f")), scene(k))
    assert [stamp_to_ns(f.header.stamp) for f in camera.frames] == [k * 50 * MS for k in range(10, 30)]
    assert {f.header.frame_id for f in camera.frames} == {"mono"}

    # Damage: each tick is answered with the reason, and the next good picture is served.
    short = rgb_message(scene(1), stamp_ns=2000 * MS, frame_id="f")
    short.height = 200
    assert "image.data: holds 98304 bytes, 200 rows of 768 bytes need 153600" in camera.tick(pictures, short)
    empty = Image(encoding="rgb8")
    empty.header.stamp = ns_to_stamp(2050 * MS)
    assert "is 0x0 pixels" in camera.tick(pictures, empty)
    unknown = rgb_message(scene(1), stamp_ns=2100 * MS, frame_id="f")
    unknown.encoding = "h264"
    assert "image.encoding: is 'h264', must be one of" in camera.tick(pictures, unknown)
    small = rgb_message(scene(1)[:64], stamp_ns=2150 * MS, frame_id="f")
    assert "the picture is 256x64, camera_info says 256x128" in camera.tick(pictures, small)
    impossible = rgb_message(scene(1), stamp_ns=0, frame_id="f")
    impossible.header.stamp.sec = -5
    pictures.publish(impossible)
    ros.wait_until(lambda: camera.statuses(ERROR, "stamp_ns: is -5000000000"), "a word on the negative stamp")
    np.testing.assert_array_equal(camera.tick(pictures, rgb_message(scene(5), stamp_ns=2200 * MS, frame_id="f")), scene(5))

    # Stamps that jump by days are served and said, once.
    day_ns = 86_400_000 * MS
    for k in range(8):
        assert isinstance(camera.tick(pictures, rgb_message(scene(k), stamp_ns=day_ns + k * 50 * MS, frame_id="f")), np.ndarray)
    ros.wait_until(lambda: [s for stamp, s in camera.statuses(WARN, "stamp jump") if stamp == day_ns], "a word on the stamp jump")
    ros.wait_until(lambda: [s for stamp, s in camera.statuses(OK) if stamp > day_ns], "that it is over")

    # Inactive: silence.
    assert ros.deactivate(NAME)
    camera.frames.clear()
    pictures.publish(rgb_message(scene(1), stamp_ns=day_ns * 2, frame_id="f"))
    assert ros.activate(NAME)
    camera.tick(pictures, rgb_message(scene(2), stamp_ns=day_ns * 3, frame_id="f"))
    assert [stamp_to_ns(f.header.stamp) for f in camera.frames] == [day_ns * 3]
    code, output = ros.stop(NAME)
    assert code == 0 and "Traceback" not in output


def test_lockstep_without_camera_info(ros):
    """Every tick is answered, with the reason; a camera_info that says nothing doesn't help, a good one does."""
    camera = Camera(ros, lockstep=True).up()
    info = ros.publisher(CameraInfo, "/camera/front/camera_info")
    pictures = ros.publisher(Image, "/camera/front/image_raw")
    for k in (1, 2):
        assert "camera 'front': no camera_info yet" in camera.tick(pictures, rgb_message(scene(k), stamp_ns=k * 50 * MS, frame_id="f"))
    info.publish(CameraInfo())
    ros.wait_until(lambda: camera.statuses(ERROR, "camera_info.height: is 0"), "a word on the empty camera_info")
    assert "no camera_info yet" in camera.tick(pictures, rgb_message(scene(3), stamp_ns=150 * MS, frame_id="f"))
    info.publish(info_message())
    ticks = iter(range(4, 1000))
    ros.wait_until(lambda: isinstance(camera.tick(pictures, rgb_message(scene(4), stamp_ns=next(ticks) * 50 * MS, frame_id="f")), np.ndarray), "a frame")


def test_lockstep_compressed_with_crop(ros):
    camera = Camera(ros, lockstep=True, transport="compressed", topics=["front=/cam/compressed"], info_topics=[""], crops=["front=20,30,256,128"]).up()
    pictures = ros.publisher(CompressedImage, "/cam/compressed")
    source = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    jpeg = simplejpeg.encode_jpeg(source)
    expected = simplejpeg.decode_jpeg(jpeg)[30:158, 20:276]
    np.testing.assert_array_equal(camera.tick(pictures, jpeg_message(jpeg, stamp_ns=50 * MS)), expected)
    assert "holds no bytes" in camera.tick(pictures, jpeg_message(b"", stamp_ns=100 * MS))
    assert "cut off" in camera.tick(pictures, jpeg_message(jpeg[:2000], stamp_ns=150 * MS))
    assert "neither a JPEG nor a PNG" in camera.tick(pictures, jpeg_message(b"hello camera", stamp_ns=200 * MS))
    np.testing.assert_array_equal(camera.tick(pictures, jpeg_message(jpeg, stamp_ns=250 * MS)), expected)


def test_lockstep_four_cameras(ros):
    """All four exposed in a tick make one packed frame; a damaged one costs its tick only."""
    rig = load_rig("quad")
    names = [c.name for c in rig.cameras]
    crops = [f"{c.name}=0,0,{c.width_px},{c.height_px}" for c in rig.cameras]
    camera = Camera(ros, lockstep=True, rig="quad", topics=[f"{n}=/camera/{n}/image_raw" for n in names], info_topics=[""], crops=crops).up()
    publishers = {n: ros.publisher(Image, f"/camera/{n}/image_raw") for n in names}
    rng = np.random.default_rng(0)
    for k in range(1, 9):
        images = {c.name: rng.integers(0, 256, c.shape, dtype=np.uint8) for c in rig.cameras}
        for name in rng.permutation(names):
            message = rgb_message(images[name], stamp_ns=k * 50 * MS, frame_id=name)
            message.height += k == 4 and name == "left"
            publishers[name].publish(message)
        ros.wait_until(lambda k=k: camera.answered(k * 50 * MS), f"answer to tick {k}", timeout_s=5.0)
        if k == 4:
            assert "camera 'left': image.data" in camera.statuses(ERROR)[-1][1].message
        else:
            np.testing.assert_array_equal(rgb_array(camera.frames[-1]), rig.pack(images))
    assert [stamp_to_ns(f.header.stamp) for f in camera.frames] == [k * 50 * MS for k in range(1, 9) if k != 4]


def test_real_time_watch(ros):
    """A camera that is well, then dark, then frozen, then dead."""
    camera = Camera(ros, max_age_s=0.3, diagnostics_rate_hz=20.0).up()
    info = ros.publisher(CameraInfo, "/camera/front/camera_info")
    pictures = ros.publisher(Image, "/camera/front/image_raw")
    count = iter(range(1, 10_000))

    def show(make, until, what):
        """Publish pictures until something was said."""

        def step():
            k = next(count)
            if k % 10 == 1:
                info.publish(info_message())
            pictures.publish(rgb_message(make(k), stamp_ns=k * 50 * MS, frame_id="front_optical"))
            return until()

        ros.wait_until(step, what, timeout_s=15.0)

    show(scene, lambda: camera.frames, "a frame")
    by_number = {k: scene(k) for k in range(1, next(count))}
    first = camera.frames[0]
    np.testing.assert_array_equal(rgb_array(first), by_number[stamp_to_ns(first.header.stamp) // (50 * MS)])

    def reports():
        return [s for _, s in camera.statuses(OK, "camera 'front': ok") if s.values]

    show(scene, reports, "the timer's report that all is well")
    assert {"age_s", "rate_hz", "offset_s", "dropped_frames", "stamp_jumps"} <= {v.key for v in reports()[-1].values}
    show(lambda k: np.full(FRONT.shape, k % 2, np.uint8), lambda: camera.statuses(WARN, "dark picture"), "a word on the dark")
    show(lambda k: scene(0), lambda: camera.statuses(OK, "frozen picture"), "a word on the frozen picture")
    ros.wait_until(lambda: camera.statuses(ERROR, "no picture"), "a word on the silence")
    code, output = ros.stop(NAME)
    assert code == 0 and "Traceback" not in output


def test_a_configuration_that_cannot_work_is_refused(ros):
    camera = Camera(ros, topics=["rear=/x"])
    assert not ros.configure(NAME)
    ros.wait_until(lambda: camera.statuses(ERROR, "topics: are given for ['rear'], rig 'mono' has ['front']"), "the reason")
    code, output = ros.stop(NAME)
    assert code == 0 and "Traceback" not in output


def optical_transform():
    """A camera that looks straight ahead, in its optical axes."""
    stamped = TransformStamped()
    stamped.header.frame_id, stamped.child_frame_id = "base_link", "front_optical"
    stamped.transform.translation.x, stamped.transform.translation.z = 1.6, 1.4
    q = stamped.transform.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
    return stamped


def test_a_transform_message_becomes_a_mounting():
    from mimic_contracts.static_transforms import StaticTransforms
    from perception.ros_images import note_transform

    tree = StaticTransforms()
    note_transform(tree, optical_transform())
    assert tree.mounting("front_optical", base_frame="base_link") == FRONT.mounting


def test_mounting_from_tf_static(ros):
    camera = Camera(ros, lockstep=True, mounting="tf_static")
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        assert not ros.configure(NAME)
        ros.wait_until(lambda: camera.statuses(ERROR, "needs the ROS package tf2_msgs, which is not installed"), "the reason")
        pytest.skip("tf2_msgs is not installed; the node says so")
    camera.up()
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = ros.publisher(CameraInfo, "/camera/front/camera_info")
    pictures = ros.publisher(Image, "/camera/front/image_raw")
    info.publish(info_message())
    assert "no static transform leads from 'front_optical'" in camera.tick(pictures, rgb_message(scene(1), stamp_ns=50 * MS, frame_id="front_optical"))
    ros.publisher(TFMessage, "/tf_static", latched).publish(TFMessage(transforms=[optical_transform()]))
    ticks = iter(range(2, 100))
    ros.wait_until(
        lambda: isinstance(camera.tick(pictures, rgb_message(scene(1), stamp_ns=next(ticks) * 50 * MS, frame_id="front_optical")), np.ndarray), "a frame"
    )
