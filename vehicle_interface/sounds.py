"""What the driver hears of the vehicle interface: tunes as WAV files, and which of them is due.

A request to take over repeats until it ends; when the vehicle is engaged, and when it is the driver's again, a short tune says so.
"""

import io
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimic_contracts.parameters import parameter
from vehicle_interface import modes

RATE_HZ, RAMP_S = 48_000, 0.008  # ramps: without them a tone begins and ends with a click
TAKEOVER, ENGAGED, RELEASED = "takeover", "engaged", "released"
# Tones: frequency (0: a pause), seconds. Between 500 and 1500 Hz, which small loudspeakers give and old ears hear.
TUNES = {
    TAKEOVER: ((1319.0, 0.12), (0.0, 0.06), (1319.0, 0.12), (0.0, 0.06), (988.0, 0.25), (0.0, 0.2)),
    ENGAGED: ((659.0, 0.1), (988.0, 0.16)),
    RELEASED: ((988.0, 0.1), (659.0, 0.16)),
}
REPEAT_S = 0.9  # from one beginning of the request to the next


@dataclass(frozen=True, kw_only=True)
class SoundParameters:
    """See config/nodes/sound_node.yaml."""

    player: str = parameter("", "Program with its options, which plays the WAV file named after them; empty: the first of pw-play, paplay, aplay.")
    volume: float = parameter(0.5, "Of the tunes, as a share of full scale.", low=0.05, high=1.0)
    mode_topic: str = parameter("vehicle/mode", "std_msgs/String in, latched.")
    request_topic: str = parameter("vehicle/takeover_request", "std_msgs/Bool in, latched.")


def samples(tune: str, *, volume: float) -> NDArray[np.int16]:
    """(N,) int16, one channel at RATE_HZ."""
    parts = []
    for frequency_hz, seconds in TUNES[tune]:
        times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        edge_s = np.minimum(times_s, seconds - times_s)
        ramp = np.sin(np.pi / 2.0 * np.clip(edge_s / RAMP_S, 0.0, 1.0)) ** 2
        parts.append(volume * ramp * np.sin(2.0 * np.pi * frequency_hz * times_s))
    return np.round(np.concatenate(parts) * np.iinfo(np.int16).max).astype(np.int16)


def wav_bytes(tune: str, *, volume: float) -> bytes:
    """A WAV file: PCM, 16 bit, one channel."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(samples(tune, volume=volume).astype("<i2").tobytes())
    return file.getvalue()


def duration_s(tune: str) -> float:
    """Of a tune."""
    return sum(seconds for _, seconds in TUNES[tune])


class Sounder:
    """Which tune is due. Note what is heard of the vehicle interface, then ask `due`, often."""

    def __init__(self) -> None:
        self.mode = ""  # as last heard
        self._is_requested = False
        self._waiting = ""  # a tune that is to be played once
        self._asked_s = -REPEAT_S

    @property
    def is_requested(self) -> bool:
        """Whether a driver is asked to take over."""
        return self._is_requested

    def note_request(self, is_requested: bool) -> None:
        """A driver is asked to take over, or no longer."""
        self._is_requested = is_requested

    def note_mode(self, mode: str) -> None:
        """The vehicle interface's; the first one is no change."""
        before, self.mode = self.mode, mode
        if before and mode == modes.ENGAGED != before:
            self._waiting = ENGAGED
        elif before in modes.COMMANDING and mode not in modes.COMMANDING:
            self._waiting = RELEASED

    def due(self, *, now_s: float, playing: str) -> str | None:
        """The tune to begin now, in place of what is playing ('': nothing); '': silence; None: leave it."""
        if self._is_requested:
            self._waiting = ""
            if playing == TAKEOVER or now_s - self._asked_s < REPEAT_S:
                return None
            self._asked_s = now_s
            return TAKEOVER
        self._asked_s = now_s - REPEAT_S  # the next request is heard at once
        due, self._waiting = self._waiting, ""
        return due or ("" if playing == TAKEOVER else None)
