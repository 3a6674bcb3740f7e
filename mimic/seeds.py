"""Seeds as command lines give them."""

from mimic_contracts.errors import UsageError


def seeds_of(text: str, *, option: str = "--seeds") -> list[int]:
    """'1,2,3' → [1, 2, 3]; raises UsageError naming the option."""
    try:
        seeds = [int(seed) for seed in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{option}: is '{text}', must be whole numbers with commas between, as 1,2,3") from error
    if min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError(f"{option}: is '{text}', must be different and not negative")
    return seeds
