"""Lifecycle node that records topics into a bag: activate begins the recording, deactivate makes the bag whole."""

import sys
from typing import Any, ClassVar

from rclpy.clock import Clock, ClockType

from bag_tools.bag_writer import BagWriter, check_bag_target
from bag_tools.record_parameters import RecordParameters
from bag_tools.ros_record import Recorder
from mimic_contracts.errors import MimicError
from mimic_contracts.ros_lifecycle import ERROR, OK, WARN, MimicNode, run_node

PERIOD_S = 0.5  # of looking for new publishers and of diagnostics


class RecordNode(MimicNode):
    """Records the topics that RecordParameters name; what must not lose a tick sets `lockstep`."""

    parameters_class: ClassVar[type] = RecordParameters

    def __init__(self, name: str) -> None:
        self._writer: BagWriter | None = None
        self._recorder: Recorder | None = None
        self._timer: Any = None
        super().__init__(name)

    def configure(self) -> None:
        """Find out early whether the bag may be written."""
        check_bag_target(self.parameters.bag_path, overwrite=self.parameters.overwrite)

    def activate(self) -> None:
        """Open the bag and subscribe; in lockstep, when all publishers are there."""
        p = self.parameters
        self._writer = BagWriter(p.bag_path, overwrite=p.overwrite)
        self._recorder = Recorder(self, p.topics, self._writer)
        try:
            if p.lockstep:
                self._recorder.wait_until_matched(timeout_s=p.discovery_timeout_s, settle_s=p.settle_s)
            else:
                self._recorder.discover()
        except MimicError:
            self._finish()
            raise
        self._timer = self.create_timer(PERIOD_S, self._look_around, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def deactivate(self) -> None:
        """Write what is still queued and finish the bag."""
        self._finish()

    def destroy_node(self) -> None:
        """Finish the bag when the process is told to end while recording."""
        try:
            self._finish()
        except MimicError as error:  # a full disk: nobody is left to be told but the log
            self.get_logger().error(str(error))
        super().destroy_node()

    def _look_around(self) -> None:
        if self._recorder is None or self._writer is None:
            return
        try:
            self._recorder.discover()
        except MimicError as error:
            self.diagnose(ERROR, str(error))
            return
        lost = sum(self._recorder.lost.values())
        level, text = (ERROR, self._recorder.failure) if self._recorder.failure else (WARN, f"{lost} messages were lost") if lost else (OK, "recording")
        missing = {"waiting for": ", ".join(self._recorder.missing)} if self._recorder.missing else {}
        self.diagnose(level, text, {**self._writer.counts, **missing})

    def _finish(self) -> None:
        recorder, self._recorder = self._recorder, None
        writer, self._writer = self._writer, None
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        if recorder is None or writer is None:
            return
        recorder.stop()
        writer.close()
        before = {topic: count for topic, count in recorder.before.items() if count}
        self.get_logger().info(f"{writer.path}: {writer.counts}, lost {sum(recorder.lost.values())}, published before the recording {before}")


def main() -> int:
    """Entry point of record_node."""
    return run_node(RecordNode, "record_node")


if __name__ == "__main__":
    sys.exit(main())
