"""The environment of node processes: which ROS domain they are in, and who can hear them."""

import os
import socket
from functools import cache

from mimic_contracts.config import config_dir
from mimic_contracts.errors import MimicError

DOMAINS, LAST_DOMAIN = 101, 232
_DOMAIN_HOLDERS: list[socket.socket] = []


def child_environment(*, loopback: bool, domain_id: str = "") -> dict[str, str]:
    """The environment of node processes: ours, in this domain; with loopback, on this machine only and, where nobody says which,
    in a domain of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}
    if domain_id:
        environment["ROS_DOMAIN_ID"] = domain_id
    if loopback:
        environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        environment.setdefault("ROS_DOMAIN_ID", str(own_domain_id()))
        environment["FASTDDS_DEFAULT_PROFILES_FILE"] = str(config_dir() / "dds" / "loopback.xml")
    root = config_dir().parent
    if (root / "setup.py").is_file():  # a source tree: its packages are found without an installation, from any directory
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH", "")]))
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


@cache
def own_domain_id() -> int:
    """A ROS domain that no other of our processes on this machine has, for the life of this process.

    A socket holds it, which ends with the process however that ends. Domains up to 101 only: the ports of higher ones
    lie where Linux takes ephemeral ports from. Raises MimicError when all are taken.
    """
    for offset in range(DOMAINS):
        domain_id = 1 + (os.getpid() + offset) % DOMAINS
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f"\0mimic_drive_domain_{domain_id}")
        except OSError:
            holder.close()
            continue
        _DOMAIN_HOLDERS.append(holder)
        return domain_id
    raise MimicError(f"all {DOMAINS} ROS domains of this machine are taken: set ROS_DOMAIN_ID")
