"""What `mimic results` reads: score.json of `mimic drive` and of `mimic score`, and whether they belong into one table.

A driver is a trained planner by its recipe's name, or what `mimic drive` calls it; with other pictures it is another driver.
Runs of one recipe that differ in the training seed are one driver. What several directories say of the same drive must be
the same to the bit; where they drove with other seeds of the suite, they add up.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bag_tools import metrics
from e2e_planner.policies import PERCEIVED, is_perceived
from mimic_contracts.errors import MimicError, UsageError
from mimic_sim.drive_score import METRIC_VERSION

SCORE_FILE, SCALING_FILE = "score.json", "scaling.json"
LEARNED = "learned"
Routes = Mapping[str, Mapping[str, Any]]  # route id → its entry in per_route of score.json


@dataclass(frozen=True, kw_only=True, eq=False)
class Driven:
    """What one driver drove, with one training seed (None: not trained). card: as policy_card has it, of the first directory;
    films: route id → file."""

    name: str
    pictures: str
    card: Mapping[str, Any]
    routes: Routes
    films: Mapping[str, Path]
    homes: tuple[Path, ...]

    @property
    def seed(self) -> int | None:
        """Of training."""
        return self.card.get("training_seed")

    @property
    def suite_seeds(self) -> list[int]:
        """With which it drove the suite: its routes are named ROUTE_sSEED."""
        return sorted({suite_seed(route) for route in self.routes})

    @property
    def version(self) -> str:
        """Hash of what drove."""
        return str(self.card.get("model_hash", self.card["policy_hash"]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Driver:
    """One row of a table: the same routes with every training seed."""

    runs: tuple[Driven, ...]

    @property
    def is_trained(self) -> bool:
        """Whether it is a planner that `mimic train` made."""
        return self.runs[0].seed is not None

    @property
    def label(self) -> str:
        """For people."""
        name = self.runs[0].name
        return f"{LEARNED} ({name})" if self.is_trained else name

    @property
    def pictures(self) -> str:
        """Of engine.PICTURES."""
        return self.runs[0].pictures

    @property
    def seeds(self) -> list[int | None]:
        """Of training, one a run."""
        return [run.seed for run in self.runs]


@dataclass(frozen=True, kw_only=True)
class Drives:
    """All drivers, who come first are given first; and of the directories: suite, suite_hash, simulator_hashes, commands."""

    suite: str
    suite_hash: str
    simulator_hashes: tuple[str, ...]
    commands: tuple[str, ...]
    drivers: tuple[Driver, ...]

    def driver(self, name: str, pictures: str = "as_is") -> Driver | None:
        """Whom a name means; LEARNED: the recipe of the first trained one that sees its pictures as they are."""
        trained = (driver.runs[0].name for driver in self.drivers if driver.is_trained and driver.pictures == "as_is")
        wanted = (next(trained, None) if name == LEARNED else name, pictures)
        return next((driver for driver in self.drivers if (driver.runs[0].name, driver.pictures) == wanted), None)


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report of `mimic score`; summary: its score.json."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Whom it is about, for people."""
        s = self.summary
        return f"{LEARNED} ({s['recipe']}), seed {s['training_seed']}" if "recipe" in s else str(s["policy"])


def suite_seed(route: str) -> int:
    """The seed in a route's name."""
    return int(route.rpartition("_s")[2])


def read_drives(paths: Sequence[Path]) -> Drives:
    """The directories of `mimic drive`, or their score.json; raises UsageError where they are not finished, or do not belong
    together, with what differs and what mends it."""
    contents = {path: _content(path, made_by="drive", of="suite_hash", option="--drives") for path in paths}
    first = next(iter(contents))
    for path, score in contents.items():
        if score["metric_version"] != METRIC_VERSION:
            raise UsageError(f"--drives: {path} has metric version '{score['metric_version']}', this is '{METRIC_VERSION}': drive again")
        if score["suite_hash"] != contents[first]["suite_hash"]:
            suites = " and ".join(f"{p} of '{contents[p]['suite']}' ({contents[p]['suite_hash']})" for p in (first, path))
            raise UsageError(f"--drives: one table is of one suite, given are {suites}: leave one out, or drive the same suite")
    runs: dict[tuple[str, str, int | None], Driven] = {}
    for path, score in contents.items():
        for run in _runs_of(path, score):
            key = (run.name, run.pictures, run.seed)
            runs[key] = _merged(runs[key], run) if key in runs else run
    return Drives(
        suite=contents[first]["suite"],
        suite_hash=contents[first]["suite_hash"],
        simulator_hashes=tuple(dict.fromkeys(score["simulator_hash"] for score in contents.values())),
        commands=tuple(dict.fromkeys(score["command"] for score in contents.values())),
        drivers=tuple(_drivers(runs.values())),
    )


def read_reports(paths: Sequence[Path]) -> list[Report]:
    """The directories of `mimic score`, or their score.json; raises UsageError where one is none, or is there twice."""
    reports: dict[tuple[str, ...], Report] = {}
    for path in paths:
        summary = _content(path, made_by="score", of="split", option="--scores")
        if summary["metric_version"] != metrics.METRIC_VERSION:
            raise UsageError(f"--scores: {path} has metric version '{summary['metric_version']}', this is '{metrics.METRIC_VERSION}': score again")
        key = (str(summary.get("model_hash", summary["policy"])), summary["split"], summary["data_hash"])
        if key in reports:
            raise UsageError(f"--scores: {reports[key].path} and {path} are of the same policy on the same data: leave one out")
        reports[key] = Report(path=path, summary=summary)
    return list(reports.values())


def read_scaling(path: Path) -> dict[str, Any]:
    """scaling.json of `mimic scaling`, or of the directory it lies in; raises UsageError where it is none."""
    return _content(path, made_by="scaling", of="curves", option="--scaling", name=SCALING_FILE)


def _content(path: Path, *, made_by: str, of: str, option: str, name: str = SCORE_FILE) -> dict[str, Any]:
    """What a file of results holds; of: a key that no other kind of results has."""
    file = path if path.is_file() else path / name
    if not file.is_file():
        unfinished = path.with_name(f".{path.name}.partial")
        if unfinished.is_dir():
            raise UsageError(f"{option}: {path} is not finished, {unfinished} was interrupted: go on with `mimic {made_by} … --resume`")
        raise UsageError(f"{option}: {file} does not exist: give a directory that `mimic {made_by} … --out` has made")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MimicError(f"{file}: is damaged: {error}") from error
    if not isinstance(content, dict) or of not in content:
        raise UsageError(f"{option}: {file} is not of `mimic {made_by}`, it has no '{of}'")
    return content


def _runs_of(path: Path, score: Mapping[str, Any]) -> Iterable[Driven]:
    home = path.parent if path.is_file() else path
    told = [score, *score["baselines"].values()]
    if "command" not in score or not all("per_route" in who for who in told):
        raise UsageError(f"--drives: {path} was driven before score.json had the routes of each baseline: drive again")
    for who in told:
        is_own = who is score
        films = {route: home / "films" / f"{route}.mp4" for route in who["per_route"]} if is_own else {}
        yield Driven(
            name=PERCEIVED if is_perceived(who["policy"]) else who.get("recipe", who["policy"]),
            pictures=who["pictures"],
            card=who,
            routes=who["per_route"],
            films={route: film for route, film in films.items() if film.is_file()},
            homes=(path,),
        )


def _merged(one: Driven, other: Driven) -> Driven:
    """The drives of both; raises UsageError where they contradict each other."""
    who = f"'{one.name}'{'' if one.seed is None else f' with training seed {one.seed}'} in {one.homes[0]} and {other.homes[0]}"
    if one.version != other.version and one.seed is not None:
        raise UsageError(f"--drives: {who} is two models ({one.version[:12]}, {other.version[:12]}): leave one out, or train one with another --seed")
    shared = [route for route in one.routes if route in other.routes]
    differing = [route for route in shared if one.routes[route]["canonical_hash"] != other.routes[route]["canonical_hash"]]
    if differing:
        raise UsageError(f"--drives: {who} drove {len(differing)} of {len(shared)} routes differently, as {differing[0]}: drive both with one version of it")
    if one.version != other.version and not shared:
        raise UsageError(f"--drives: {who} has two versions ({one.version}, {other.version}), and no route in common to compare: drive both with one")
    return replace(one, routes={**one.routes, **other.routes}, films={**other.films, **one.films}, homes=(*one.homes, *other.homes))


def _drivers(runs: Iterable[Driven]) -> Iterable[Driver]:
    """Runs of one recipe together, by training seed."""
    groups: dict[tuple[str, str], list[Driven]] = {}
    for run in runs:
        groups.setdefault((run.name, run.pictures), []).append(run)
    for group in groups.values():
        first = group[0]
        for run in group[1:]:
            pair = f"{first.homes[0]} and {run.homes[0]}"
            if run.seed is None or first.seed is None or run.card["recipe_hash"] != first.card["recipe_hash"]:
                raise UsageError(f"--drives: '{run.name}' in {pair} is two different recipes: only the training seed may differ; give one another name")
            if set(run.routes) != set(first.routes):
                odd = sorted(set(run.routes) ^ set(first.routes))
                raise UsageError(
                    f"--drives: training seeds {first.seed} and {run.seed} of '{run.name}' in {pair} drove other routes, as {odd[0]}: same --seeds"
                )
        yield Driver(runs=tuple(sorted(group, key=lambda run: run.seed or 0)))
