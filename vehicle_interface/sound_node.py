"""Makes heard what the driver must know: take over, engaged, yours again. It moves nothing, and nothing waits for it."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rclpy.clock import Clock, ClockType
from std_msgs.msg import Bool, String

from mimic_contracts.ros_lifecycle import LATCHED_QOS, OK, WARN, MimicNode, run_node
from vehicle_interface.player import Player, player_command
from vehicle_interface.sounds import TUNES, Sounder, SoundParameters, duration_s, wav_bytes

PERIOD_S, DIAGNOSTICS_PERIOD_S = 0.05, 0.5


class SoundNode(MimicNode):
    """Without a player it says so in diagnostics, as a warning that the supervisor does not heed: it must not keep anybody from driving."""

    parameters_class = SoundParameters

    def configure(self) -> None:
        """Find the player, write the sound files, make the subscriptions."""
        p = self.parameters
        self._player: Player | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        command, self._problem = player_command(p.player)
        if command:
            try:
                self._prepare(command)
            except OSError as error:
                self._problem = f"nothing can be heard: the sound files cannot be written: {error}"
        self._sounder, self._steady = Sounder(), Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnosed_s, self._said = 0.0, ""
        self.create_subscription(String, p.mode_topic, lambda message: self._sounder.note_mode(message.data), LATCHED_QOS)
        self.create_subscription(Bool, p.request_topic, lambda message: self._sounder.note_request(message.data), LATCHED_QOS)

    def _prepare(self, command: Sequence[str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mimic_sound_")
        folder = Path(self._folder.name)
        self._files = {tune: folder / f"{tune}.wav" for tune in TUNES}
        for tune, path in self._files.items():
            path.write_bytes(wav_bytes(tune, volume=self.parameters.volume))
        self._player = Player(command, errors_file=folder / "errors")

    def activate(self) -> None:
        """Begin to be heard."""
        self.create_timer(PERIOD_S, self._on_timer, clock=self._steady)

    def deactivate(self) -> None:
        """Fall silent."""
        self._fall_silent()

    def cleanup(self) -> None:
        """Remove the sound files."""
        if self._folder is not None:
            self._folder.cleanup()

    def destroy_node(self) -> None:
        """A player does not outlive the node."""
        if self.parameters is not None:
            self._fall_silent()
            self.cleanup()
        super().destroy_node()

    def _fall_silent(self) -> None:
        if self._player is not None:
            self._player.stop()

    def _on_timer(self) -> None:
        now_s = self._steady.now().nanoseconds / 1e9
        if self._player is not None:
            self._player.watch(now_s)
            self._problem = self._player.problem
            due = self._sounder.due(now_s=now_s, playing=self._player.playing)
            if due:
                self._player.play(due, self._files[due], seconds=duration_s(due), now_s=now_s)
            elif due == "":
                self._player.stop()
        if self._problem != self._said or now_s - self._diagnosed_s > DIAGNOSTICS_PERIOD_S:
            self._diagnose(now_s)

    def _diagnose(self, now_s: float) -> None:
        if self._problem != self._said and self._problem:
            self.get_logger().warning(self._problem)
        self._diagnosed_s, self._said = now_s, self._problem
        text = self._problem or ("a driver is asked to take over" if self._sounder.is_requested else "ready")
        self.diagnose(WARN if self._problem else OK, f"sound: {text}", {"heard_mode": self._sounder.mode})


def main() -> int:
    """Run the node."""
    return run_node(SoundNode, "sound_node")


if __name__ == "__main__":
    sys.exit(main())
