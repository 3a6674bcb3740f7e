"""How close a policy comes to what the human did, on clips that it never saw.

    mimic score --policy RUN --data STORE --split val --out REPORT
    mimic score --policy constant_velocity --data STORE --split test --out REPORT --overwrite
    mimic score --policy my_planner:Planner --data STORE --split test --out REPORT

REPORT then holds score.json (flat, units in the names, each figure with its 95 % interval and count; the baselines under
`baselines`, with KEY_difference, the policy's figure less theirs), rows.parquet (a row per policy and frame, from which every
figure can be computed again) and report.html. A short table goes to stdout.
"""

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mimic_contracts.action_spec import STEERING_ONLY
from mimic_contracts.clip import SPLITS
from mimic_contracts.errors import MimicError, UsageError, require_package
from mimic_contracts.policy import Policy

SCORE_FILE, ROWS_FILE, REPORT_FILE = "score.json", "rows.parquet", "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `mimic score`."""
    parser.add_argument("--policy", required=True, help="a run directory, an .onnx file with its card, a built-in name, or module:Class")
    parser.add_argument("--data", required=True, type=Path, metavar="STORE", help="clip store made by mimic extract")
    parser.add_argument("--split", required=True, choices=SPLITS, help="choose on val, report on test")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="directory of the report")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report in DIR")


def run(args: argparse.Namespace) -> int:
    """Score; returns 0, or 1 (by MimicError) when policy and store don't fit or the policy fails too often."""
    for module in ("lance", "pyarrow", "matplotlib", "av"):
        require_package(module, extra="train", purpose="mimic score")
    check_out(args.out, overwrite=args.overwrite)
    from bag_tools.clip_store import ClipStore
    from bag_tools.score import score
    from bag_tools.score_report import report_html
    from e2e_planner.policies import load_policy
    from mimic.drive_folder import policy_card

    store = ClipStore.open(args.data)
    policy = load_policy(args.policy)
    baselines = baselines_for(policy, Path(args.policy), signals=store.meta.signals)
    result = score(policy, store, args.split, policy_name=args.policy, baselines=baselines, progress=_progress)
    print("score: drawing the report", file=sys.stderr)
    command = ["mimic", "score", "--policy", args.policy, "--data", str(args.data), "--split", args.split, "--out", str(args.out)]
    summary = result.summary | policy_card(args.policy) | {"command": shlex.join(command)}
    write_report(args.out, summary, result.rows, report_html(result, store))
    print(table_text(result.summary))
    print(f"report {args.out / REPORT_FILE}")
    return 0


def check_out(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError when a report must not be written to `out`."""
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists: give --overwrite to replace it, or another --out")
    if out.exists() and not ((out / SCORE_FILE).is_file() or (out.is_dir() and not any(out.iterdir()))):
        raise UsageError(f"{out} is not a report of mimic score: it is not replaced; give another --out")


def baselines_for(policy: Policy, path: Path, *, signals: Iterable[str]) -> dict[str, Policy]:
    """What the policy must beat, as far as the recording allows: drivers without eyes, and its own twin."""
    from e2e_planner.baselines import ConstantSteering, ConstantVelocity, HoldLast, HoldSteering
    from e2e_planner.policies import load_policy

    baselines: dict[str, Policy] = {}
    directory = path if path.is_dir() else path.parent
    card = _card(directory) if path.is_dir() or path.suffix == ".onnx" else {}
    if policy.spec.name == STEERING_ONLY.name:
        baselines = {"always_zero": ConstantSteering(0.0), "hold_last_1s": HoldSteering()}
        if "target_mean" in card:
            baselines["training_mean"] = ConstantSteering(float(card["target_mean"][0][0]))
    elif "speed_mps" in signals:
        baselines = {"constant_velocity": ConstantVelocity(), "hold_last": HoldLast()}
    if card and (directory / "twin" / "card.json").is_file():
        baselines["twin"] = load_policy(str(directory / "twin"))
    return baselines


def write_report(out: Path, summary: Mapping[str, Any], rows: Any, page: str) -> None:
    """Write the report's files so that `out` is either the old report or the whole new one."""
    import pyarrow.parquet as pq

    partial, retired = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
    for directory in (partial, retired):
        shutil.rmtree(directory, ignore_errors=True)
    partial.mkdir(parents=True)
    pq.write_table(rows, partial / ROWS_FILE, compression="zstd")
    (partial / REPORT_FILE).write_text(page, encoding="utf-8")
    (partial / SCORE_FILE).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if out.exists():
        out.rename(retired)
    partial.rename(out)
    shutil.rmtree(retired, ignore_errors=True)


def table_text(summary: Mapping[str, Any]) -> str:
    """A short table for the terminal: each figure with its interval, the baselines beside it, and what was left out."""
    from bag_tools.score_definitions import DEFINITIONS

    columns = {"policy": summary, **summary["baselines"]}
    width = max(len("longitudinal_control_error_mps2"), *(len(d.key) for d in DEFINITIONS))
    head = f"{summary['split']}: {summary['clips']} clips, {summary['drives']} drives, {summary['frames']} frames, metrics version {summary['metric_version']}"
    lines = [head, f"{'':{width}} {'policy':>9} {'95 % interval':>19}" + "".join(f" {name:>17}" for name in summary["baselines"])]
    for definition in DEFINITIONS:
        if definition.key in summary:
            values = [figures.get(definition.key) for figures in columns.values()]
            cells = ["—" if value is None else f"{value:.{definition.digits}f}" for value in values]
            interval = summary[f"{definition.key}_ci95"]
            between = f"{interval[0]:.{definition.digits}f} … {interval[1]:.{definition.digits}f}" if interval else "—"
            lines.append(f"{definition.key:{width}} {cells[0]:>9} {between:>19}" + "".join(f" {cell:>17}" for cell in cells[1:]))
    lines += [f"not scored: {count} frames: {reason}" for reason, count in summary["not_scored"].items()]
    lines += [f"{key}: {', '.join(tags)}" for key, tags in summary.items() if key.endswith("_tags_absent") and tags]
    for key, errors in summary.items():
        if key.startswith("time_shift_") and key != "time_shift_s":
            pairs = ", ".join(f"{shift:+.1f} s {error:.3f}" for shift, error in zip(summary["time_shift_s"], errors, strict=True))
            lines.append(f"labels shifted ({key.removeprefix('time_shift_')}): {pairs}")
    return "\n".join(lines)


def _card(directory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((directory / "card.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise MimicError(f"{directory / 'card.json'}: cannot be read: {error}") from error


def _progress(items: Iterable[Any], total: int) -> Iterable[Any]:
    return tqdm(items, total=total, desc="score", unit="frame", file=sys.stderr, mininterval=0.5, dynamic_ncols=True)
