"""A contiguous piece of one drive."""

from dataclasses import dataclass

from mimic_contracts.errors import ContractError
from mimic_contracts.validation import check_choice, check_number, check_stamp_ns, check_text

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Identity and use of a clip; start and end are the stamps of its first and last frame."""

    clip_id: str
    drive_id: str
    vehicle_id: str
    driver_id: str
    region: str
    split: str
    start_ns: int
    end_ns: int
    tags: tuple[str, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("clip_id", "drive_id", "vehicle_id", "driver_id", "region"):
            check_text(f"clip.{name}", getattr(self, name))
        check_choice("clip.split", self.split, SPLITS)
        check_stamp_ns("clip.start_ns", self.start_ns)
        check_stamp_ns("clip.end_ns", self.end_ns)
        check_number("clip.weight", self.weight, low=0.0, high=1e6)
        if self.end_ns < self.start_ns:
            raise ContractError(f"clip.end_ns: is {self.end_ns}, must not be before start_ns {self.start_ns}")
