"""donkeycar's default pilot, trained by donkeycar's own code with its own defaults; runs in a virtual environment of donkeycar's (see
steering_peers.py), knows nothing of this project, and exchanges plain arrays with it.

    python donkeycar_train.py tub FRAMES.npz TUB                    pictures (N, 120, 160, 3) uint8, angle (N,) -1 to 1 → donkeycar's tub
    python donkeycar_train.py train TUB FOLDER SEED BUDGET_S        → FOLDER/pilot.h5, FOLDER/pilot.npz

Training ends by donkeycar's early stopping, or when the process has used BUDGET_S of processor time; kept is the epoch that was best on
donkeycar's own validation frames. pilot.npz: LAYER.0 kernel and LAYER.1 bias of each layer, `pictures` with the `angles` that Keras
computes of them, ended_by, cpu_s.
"""

import random
import resource
import signal
import sys
import time
from pathlib import Path

import donkeycar
import numpy as np
import tensorflow as tf
from donkeycar.config import Config
from donkeycar.parts.tub_v2 import Tub
from donkeycar.pipeline.training import train

EXAMPLES = 16


class BudgetSpent(Exception):
    """The processor time is used up."""


def make_tub(frames: Path, tub: Path) -> None:
    """Write a tub as a donkeycar does while it is driven; nothing is known of the throttle, so it is always the same."""
    content = np.load(frames)
    records = Tub(str(tub), inputs=["cam/image_array", "user/angle", "user/throttle", "user/mode"], types=["image_array", "float", "float", "str"])
    for picture, angle in zip(content["pictures"], content["angle"], strict=True):
        records.write_record({"cam/image_array": picture, "user/angle": float(angle), "user/throttle": 0.5, "user/mode": "user"})
    records.close()


def train_pilot(tub: Path, folder: Path, seed: int, budget_s: int) -> None:
    """donkeycar's training as it is; but without its plot and its TFLite file, which are no part of it."""

    def stop(_signal: int, _frame: object) -> None:
        if time.process_time() >= budget_s:  # the limit counts in ticks, up to a tenth too many; the signal comes again every second
            signal.signal(signal.SIGXCPU, signal.SIG_IGN)
            raise BudgetSpent

    signal.signal(signal.SIGXCPU, stop)
    resource.setrlimit(resource.RLIMIT_CPU, (budget_s, resource.RLIM_INFINITY))
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    random.seed(seed)
    np.random.seed(seed)
    tf.random.set_seed(seed)
    config = Config()
    config.from_pyfile(str(Path(donkeycar.__file__).parent / "templates" / "cfg_complete.py"))
    config.from_dict({"MODELS_PATH": str(folder), "SHOW_PLOT": False, "CREATE_TF_LITE": False, "PRINT_MODEL_SUMMARY": False, "VERBOSE_TRAIN": 2})
    path = folder / "pilot.h5"
    try:
        train(config, str(tub), model=str(path), model_type=config.DEFAULT_MODEL_TYPE)
        ended = "early stopping"
    except BudgetSpent:
        ended = "budget"
    spent_s = time.process_time()
    pilot = tf.keras.models.load_model(path, compile=False)
    pictures = np.random.default_rng(0).integers(0, 256, (EXAMPLES, *pilot.input_shape[1:]), np.uint8)
    angles = pilot.predict(pictures / 255.0, verbose=0)[0][:, 0]
    weights = {f"{layer.name}.{i}": values for layer in pilot.layers for i, values in enumerate(layer.get_weights())}
    np.savez(folder / "pilot.npz", pictures=pictures, angles=angles, ended_by=ended, cpu_s=spent_s, **weights)


if __name__ == "__main__":
    command, source, target, *numbers = sys.argv[1:]
    if command == "tub":
        make_tub(Path(source), Path(target))
    else:
        train_pilot(Path(source), Path(target), *(int(number) for number in numbers))
