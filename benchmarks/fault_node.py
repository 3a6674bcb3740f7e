"""Any node of the suite, in whose loop SIGUSR1 begins a busy loop of 2 s, which nothing can do from outside. The simulator's drive has no
end, however long the car stands: a fault may take its time.

python -m fault_node --ros-args -r __node:=camera_node
"""

import math
import runpy
import signal
import sys
import time
from importlib import import_module

from mimic.process_table import EXECUTABLES

BUSY_S = 2.0


def compute(*_: object) -> None:
    """Do nothing else: Python runs this in the thread of the node's executor."""
    end_s = time.monotonic() + BUSY_S
    while time.monotonic() < end_s:
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, compute)
    name = next(argument.partition(":=")[2] for argument in sys.argv if argument.startswith("__node:="))
    if name == "sim_node":
        import_module("mimic_sim.world").BLOCKED_S = math.inf
    runpy.run_module(EXECUTABLES[name], run_name="__main__", alter_sys=True)
