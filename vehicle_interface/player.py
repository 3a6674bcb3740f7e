"""Plays sound files by a program of the machine, which may be missing, die or hang without any harm to the caller."""

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PLAYERS = (("pw-play",), ("paplay",), ("aplay", "-q"))  # PipeWire's, PulseAudio's, ALSA's
SPARE_S = 2.0  # beyond a sound's own duration, after which its player hangs


def player_command(text: str) -> tuple[tuple[str, ...], str]:
    """Program and options of a parameter's text, or, if it is empty, the first of PLAYERS; and what is wrong with it, else empty."""
    try:
        wanted = [tuple(shlex.split(text))] if text.strip() else list(PLAYERS)
    except ValueError as error:
        return (), f"nothing can be heard: player is '{text}', which is no command: {error}"
    for command in wanted:
        if shutil.which(command[0]):
            return command, ""
    names = ", ".join(command[0] for command in wanted)
    return (), f"nothing can be heard: no program {names} is there: apt install alsa-utils, or set the parameter player"


class Player:
    """One sound at a time; the next one ends it. Call `watch` often."""

    def __init__(self, command: Sequence[str], *, errors_file: Path) -> None:
        self._command, self._errors_file = list(command), errors_file
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: list[subprocess.Popen[bytes]] = []  # killed, and not yet gone
        self._until_s = 0.0
        self.playing = ""
        self.problem = ""  # of the last sound that was played

    def play(self, name: str, path: Path, *, seconds: float, now_s: float) -> None:
        """Begin a sound; does not wait."""
        self.stop()
        try:
            with self._errors_file.open("wb") as errors:
                self._process = subprocess.Popen(  # noqa: S603  the operator's own program, without a shell
                    [*self._command, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
                )
        except (OSError, ValueError) as error:
            self.problem = f"the player {self._command[0]} cannot be started: {error}"
            return
        self.playing, self._until_s = name, now_s + seconds + SPARE_S

    def watch(self, now_s: float) -> None:
        """See whether it has ended, and how; end it where it hangs."""
        self._ended = [process for process in self._ended if process.poll() is None]
        if self._process is None:
            return
        code = self._process.poll()
        if code is None and now_s > self._until_s:
            self.problem = f"the player {self._command[0]} hangs: ended after {SPARE_S} s more than the sound takes"
            self.stop()
        elif code is not None:
            self.problem = f"the player {self._command[0]} ended with exit code {code}: {self._last_error()}" if code else ""
            self._process, self.playing = None, ""

    def stop(self) -> None:
        """Silence, at once, whatever the player started itself included."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._ended.append(self._process)
        self._process, self.playing = None, ""

    def _last_error(self) -> str:
        lines = self._errors_file.read_text(encoding="utf-8", errors="replace").split("\n") if self._errors_file.is_file() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")
