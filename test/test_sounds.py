"""Tunes, when they are due, and players that die, hang or are not there; then the sound node over DDS with a player that writes what it got."""

import io
import itertools
import stat
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from vehicle_interface import modes, player
from vehicle_interface.player import Player, player_command
from vehicle_interface.sounds import ENGAGED, RATE_HZ, RELEASED, REPEAT_S, TAKEOVER, TUNES, Sounder, duration_s, samples, wav_bytes


def script(folder: Path, body: str) -> str:
    path = folder / "player"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# Tunes


@pytest.mark.parametrize("tune", TUNES)
def test_a_tune_is_a_wav_file_of_tones_without_clicks(tune):
    with wave.open(io.BytesIO(wav_bytes(tune, volume=0.5))) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, RATE_HZ)
        heard = np.frombuffer(reader.readframes(reader.getnframes()), "<i2")
    assert (heard == samples(tune, volume=0.5)).all()
    assert len(heard) / RATE_HZ == pytest.approx(duration_s(tune), abs=1e-3) and duration_s(tune) < REPEAT_S
    assert 0.45 < np.abs(heard).max() / 32767 < 0.501
    steepest = 2.0 * np.pi * max(frequency for frequency, _ in TUNES[tune]) / RATE_HZ * 0.5 * 32767
    assert np.abs(np.diff(heard.astype(int), prepend=0, append=0)).max() < 1.1 * steepest
    frequency_hz, seconds = TUNES[tune][0]
    first = heard[: round(seconds * RATE_HZ)].astype(float)
    assert np.argmax(np.abs(np.fft.rfft(first, RATE_HZ))) == pytest.approx(frequency_hz, abs=3.0)


def test_a_request_repeats_until_it_ends_and_goes_before_everything():
    sounder = Sounder()
    for mode in (modes.DISENGAGED, modes.ENGAGED):
        sounder.note_mode(mode)
    sounder.note_request(True)
    assert sounder.due(now_s=10.0, playing=ENGAGED) == TAKEOVER
    assert sounder.due(now_s=10.1, playing=TAKEOVER) is None
    assert sounder.due(now_s=10.1, playing="") is None, "a player that dies at once is not started 20 times a second"
    assert sounder.due(now_s=10.0 + REPEAT_S, playing=TAKEOVER) is None and sounder.due(now_s=10.0 + REPEAT_S, playing="") == TAKEOVER
    sounder.note_request(False)
    assert sounder.due(now_s=11.0, playing=TAKEOVER) == "" and sounder.due(now_s=11.05, playing="") is None
    sounder.note_request(True)
    assert sounder.due(now_s=11.1, playing="") == TAKEOVER


@pytest.mark.parametrize(("before", "after"), list(itertools.product(modes.MODES, modes.MODES)))
def test_engaged_and_yours_again_are_said_once(before, after):
    sounder = Sounder()
    sounder.note_mode(before)
    assert sounder.due(now_s=1.0, playing="") is None, "what is found at the beginning is no news"
    sounder.note_mode(after)
    has_vehicle = {modes.ENGAGED, modes.MINIMAL_RISK_STOP, modes.EMERGENCY_STOP}
    expected = ENGAGED if after == modes.ENGAGED != before else RELEASED if before in has_vehicle and after not in has_vehicle else None
    assert sounder.due(now_s=2.0, playing="") == expected and sounder.due(now_s=3.0, playing="") is None


# Players


def watched(playing: Player, *, now_s: float = 0.0, until: str = "the end") -> None:
    deadline_s = time.monotonic() + 20.0
    while playing.playing:
        playing.watch(now_s)
        assert time.monotonic() < deadline_s, until


def test_a_player_gets_its_options_and_the_file(tmp_path):
    writer = script(tmp_path, f'echo "$@" > {tmp_path}/got')
    command, problem = player_command(f"{writer} --quiet 'two words'")
    assert problem == ""
    playing = Player(command, errors_file=tmp_path / "errors")
    playing.play(ENGAGED, tmp_path / "engaged.wav", seconds=0.2, now_s=0.0)
    assert playing.playing == ENGAGED
    watched(playing)
    assert playing.problem == "" and (tmp_path / "got").read_text(encoding="utf-8") == f"--quiet two words {tmp_path}/engaged.wav\n"


def test_a_player_that_dies_is_told_with_its_last_words(tmp_path):
    playing = Player([script(tmp_path, "echo first >&2; echo no such device >&2; exit 3")], errors_file=tmp_path / "errors")
    playing.play(ENGAGED, tmp_path / "engaged.wav", seconds=0.2, now_s=0.0)
    watched(playing)
    assert playing.problem.endswith("ended with exit code 3: no such device")


def test_a_player_that_hangs_is_ended_with_its_children(tmp_path):
    playing = Player([script(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait")], errors_file=tmp_path / "errors")
    playing.play(TAKEOVER, tmp_path / "takeover.wav", seconds=0.5, now_s=100.0)
    child, deadline_s = tmp_path / "child", time.monotonic() + 20.0
    while not (child.is_file() and child.read_text(encoding="utf-8").strip()):
        playing.watch(102.4)
        assert time.monotonic() < deadline_s
    assert playing.playing == TAKEOVER
    playing.watch(102.6)
    assert playing.playing == "" and "hangs" in playing.problem
    pid = int(child.read_text(encoding="utf-8"))
    while Path(f"/proc/{pid}/stat").is_file() and " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8"):
        assert time.monotonic() < deadline_s, "its child lives on"


def test_what_cannot_be_played_by_is_named_with_the_mend(tmp_path, monkeypatch):
    assert player_command("warble --loud") == ((), "nothing can be heard: no program warble is there: apt install alsa-utils, or set the parameter player")
    assert "which is no command" in player_command("aplay 'one")[1]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert player_command("")[1].startswith("nothing can be heard: no program pw-play, paplay, aplay is there")
    (tmp_path / "aplay").symlink_to(script(tmp_path, "exit 0"))
    assert player_command("") == (("aplay", "-q"), "")
    playing = Player([str(tmp_path / "gone")], errors_file=tmp_path / "errors")
    playing.play(ENGAGED, tmp_path / "engaged.wav", seconds=0.2, now_s=0.0)
    assert playing.playing == "" and "cannot be started" in playing.problem
    assert player.SPARE_S < 5.0


# The node


@pytest.mark.ros
def test_the_node_is_heard_repeats_and_does_not_hang_with_its_player(ros, tmp_path):
    from diagnostic_msgs.msg import DiagnosticArray
    from std_msgs.msg import Bool, Header, String

    from mimic_contracts.ros_lifecycle import LATCHED_QOS, OK, SENSOR_QOS, WARN

    name = "sound_node"
    log, hang = tmp_path / "log", tmp_path / "hang"
    body = f'echo "$1 $(wc -c < "$1")" >> {log}; if [ -e {hang} ]; then exec sleep 1000; fi'
    ros.start("vehicle_interface.sound_node", name, {"player": script(tmp_path, body)})
    assert ros.configure(name) and ros.activate(name)
    diagnostics, beats = ros.collect(DiagnosticArray, "/diagnostics"), ros.collect(Header, f"/{name}/heartbeat", SENSOR_QOS)
    mode, request = ros.publisher(String, "/vehicle/mode", LATCHED_QOS), ros.publisher(Bool, "/vehicle/takeover_request", LATCHED_QOS)
    lines = lambda: log.read_text(encoding="utf-8").split("\n")[:-1] if log.is_file() else []  # noqa: E731
    played = lambda: [line.rpartition("/")[2] for line in lines()]  # noqa: E731
    status = lambda: next((s for a in reversed(diagnostics) for s in a.status if s.name == name), None)  # noqa: E731

    mode.publish(String(data=modes.DISENGAGED))
    ros.wait_until(lambda: status() is not None and status().values[0].value == modes.DISENGAGED, "that it has heard the mode")
    assert not played() and (status().level, status().message) == (OK, "sound: ready")
    mode.publish(String(data=modes.ENGAGED))
    ros.wait_until(played, "that it is heard")
    request.publish(Bool(data=True))
    ros.wait_until(lambda: len(played()) >= 3, "that it repeats")
    assert played()[:3] == [f"{tune}.wav {len(wav_bytes(tune, volume=0.5))}" for tune in (ENGAGED, TAKEOVER, TAKEOVER)]

    hang.touch()
    count = len(played())
    ros.wait_until(lambda: len(played()) > count, "a player that hangs")
    heard = len(beats)
    ros.wait_until(lambda: status().level == WARN and "hangs" in status().message, "the warning")
    assert len(beats) > heard + 10, "its loop went on"
    hang.unlink()
    ros.wait_until(lambda: status().level == OK and "asked to take over" in status().message, "that it is heard again")
    request.publish(Bool(data=False))
    ros.wait_until(lambda: status().message == "sound: ready", "the end of the request")
    count = len(played())
    mode.publish(String(data=modes.DISENGAGED))
    ros.wait_until(lambda: len(played()) > count, "that it is heard")
    assert played()[count:] == [f"{RELEASED}.wav {len(wav_bytes(RELEASED, volume=0.5))}"]
    code, output = ros.stop(name)
    assert code == 0 and "Traceback" not in output
    assert not Path(lines()[0].partition(" ")[0]).parent.exists(), "the sound files went with it"


@pytest.mark.ros
def test_without_a_player_it_is_active_and_warns(ros):
    from diagnostic_msgs.msg import DiagnosticArray

    from mimic_contracts.ros_lifecycle import WARN

    ros.start("vehicle_interface.sound_node", "sound_node", {"player": "no_such_program"})
    diagnostics = ros.collect(DiagnosticArray, "/diagnostics")
    assert ros.configure("sound_node") and ros.activate("sound_node")
    said = lambda: [s for a in diagnostics for s in a.status if s.name == "sound_node"]  # noqa: E731
    ros.wait_until(said, "the warning")
    assert said()[0].level == WARN and said()[0].message.startswith("sound: nothing can be heard: no program no_such_program is there")
