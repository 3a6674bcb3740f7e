"""Parameters of record_node."""

from dataclasses import dataclass
from pathlib import Path

from mimic_contracts.errors import ContractError
from mimic_contracts.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class RecordParameters:
    """See config/nodes/record_node.yaml."""

    topics: tuple[str, ...] = parameter(("diagnostics",), "Topics to record, latched ones included.")
    out: str = parameter("recording", "Directory of the bag; it takes this name when the recording is finished.")
    overwrite: bool = parameter(False, "Replace a bag of that name.")
    lockstep: bool = parameter(False, "Activate only when every topic has a publisher and is matched, so that the first tick is in the bag.")
    discovery_timeout_s: float = parameter(20.0, "In lockstep: how long to wait for the publishers of all topics.", low=0.1, high=600.0)
    settle_s: float = parameter(0.3, "In lockstep: how long to let publishers match us in their turn, which cannot be seen from here.", low=0.0, high=10.0)

    def __post_init__(self) -> None:
        if not self.topics or not all(self.topics) or len(set(self.topics)) != len(self.topics):
            raise ContractError(f"topics: are {list(self.topics)}, must be at least one, not empty and all different")
        if not self.out:
            raise ContractError("out: is empty, must be the directory of the bag")

    @property
    def bag_path(self) -> Path:
        """Directory of the bag; '~' is the home directory."""
        return Path(self.out).expanduser()
