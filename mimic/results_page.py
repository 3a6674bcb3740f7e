"""docs/results.md: what was measured, with its intervals, what was not, every failure, and how to make it again.

A page is the same for the same files. Order: what it comes to, closed loop, the paired comparison, open loop, what open loop
foretells, scaling, failures, sources.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bag_tools import metrics
from e2e_planner.policies import PERCEIVED
from mimic.drive_jobs import EXPERT
from mimic.results_input import LEARNED, Driver, Drives, Report, suite_seed
from mimic.results_open_loop import correlation_section, open_loop_section, scaling_section
from mimic.results_statistics import Figures, fork_flicker, gap_closed, not_scored, pooled
from mimic.results_text import NOT_MEASURED, excludes_zero, figure, joined, table
from mimic_sim.drive_score import METRIC_VERSION
from mimic_sim.drive_statistics import paired_difference, score_routes

ORACLE, PURSUIT = "rule_based_oracle", "route_pursuit"
SHOWN_AS = {"as_is": "", "grey_lights": ", lights greyed", "black": ", black pictures"}
# Whom METRICS wants in every table, in its order; LEARNED: the first trained planner that is given.
WANTED = ((EXPERT, "as_is"), (ORACLE, "as_is"), (PERCEIVED, "as_is"), (PURSUIT, "as_is"), (LEARNED, "as_is"), (LEARNED, "grey_lights"), (LEARNED, "black"))
BLIND = ((PURSUIT, "as_is"), (LEARNED, "black"))
TO_REPORT = "test"  # of the suites
ROUTES_A_CLASS, TRAINING_SEEDS = 10, 3  # at least, METRICS
PASSED_BLIND = 0.2  # success of a blind driver from which on a class says little about seeing; METRICS names no number, this is ours


class Scored(NamedTuple):
    """A driver with its figures by route, the mean of its training seeds, and what they come to."""

    driver: Driver
    figures: Figures
    score: Mapping[str, Any]


def results_page(drives: Drives, reports: Sequence[Report], scaling: Mapping[str, Any] | None, *, command: str, out: Path) -> str:
    """The page; out: where it is going to lie, to which its links are relative."""
    class_of = {route: entry["scenario"] for driver in drives.drivers for route, entry in driver.runs[0].routes.items()}
    scored = {driver: _scored(driver, class_of) for driver in drives.drivers}
    learned = drives.driver(LEARNED)
    compared = _compared(drives, scored, class_of)
    sections = [
        *_closed_loop(drives, scored),
        *_comparison(compared),
        *open_loop_section(reports),
        *correlation_section(drives, reports, scaling),
        *(scaling_section(scaling) if scaling is not None else ["## Scaling", "", f"{NOT_MEASURED.capitalize()}: no scaling.json was given.", ""]),
        *_failures(learned, out.parent),
        *_sources(drives, reports, command),
    ]
    return "\n".join([*_head(drives, scored, compared, sections), *sections])


def _scored(driver: Driver, class_of: Mapping[str, str]) -> Scored:
    figures = pooled([run.routes for run in driver.runs])
    return Scored(driver, figures, score_routes(figures, class_of=class_of))


def _compared(drives: Drives, scored: Mapping[Driver, Scored], class_of: Mapping[str, str]) -> dict[str, Any]:
    """Learned less perceived rules on the routes that both drove, and the share of the way from pursuit to oracle."""

    def shared(*names: str) -> list[Figures] | None:
        found = [driver for driver in map(drives.driver, names) if driver is not None]
        routes = set.intersection(*(set(scored[driver].figures) for driver in found)) if len(found) == len(names) else set()
        return [{route: scored[driver].figures[route] for route in sorted(routes)} for driver in found] if routes else None

    compared: dict[str, Any] = {}
    if pair := shared(LEARNED, PERCEIVED):
        compared |= paired_difference(*pair, class_of=class_of)
    if three := shared(LEARNED, PURSUIT, ORACLE):
        one, low, high = three
        compared["success_gap"] = gap_closed(one, low, high, "is_success", class_of=class_of)
        compared["driving_score_gap"] = gap_closed(one, low, high, "driving_score")
        compared["gap_routes"] = len(one)
    return compared


def _head(drives: Drives, scored: Mapping[Driver, Scored], compared: Mapping[str, Any], sections: Sequence[str]) -> list[str]:
    learned, routes = drives.driver(LEARNED), {route for driver in drives.drivers for route in driver.runs[0].routes}
    classes = {entry["scenario"] for driver in drives.drivers for entry in driver.runs[0].routes.values() if entry["scenario"]}
    lines = ["# Results", "", "Written by `mimic results` from result files, by the command at its end; not by hand.", ""]
    lines += [
        f"Suite `{drives.suite}` ({drives.suite_hash}): {len(routes)} routes of {len(classes)} classes, each with each seed of the suite counted for itself. "
        f"Metric versions: closed loop {METRIC_VERSION} (`mimic_sim/drive_score.py`), open loop {metrics.METRIC_VERSION} (`bag_tools/score_definitions.py`). "
        "In brackets: 95 % intervals; closed loop by bootstrap over routes, open loop over blocks of 10 s.",
        "",
    ]
    if learned is not None:
        score = scored[learned].score
        gap = compared.get("driving_score_gap", {})
        lines += [
            f"- **{learned.label}**, training seeds {joined(learned.seeds)}: success {figure(score, 'success_rate', factor=100.0)} %, "
            f"driving score {figure(score, 'driving_score')}.",
            f"- Learned minus {PERCEIVED}, paired: success {figure(compared, 'success_rate_difference', factor=100.0)} points, "
            f"driving score {figure(compared, 'driving_score_difference')}.",
            f"- Of the gap between {PURSUIT} and {ORACLE} it closes, by driving score, {figure(gap, 'share', factor=100.0, digits=0)} %.",
            "",
        ]
    missing = sum(line.lower().count(NOT_MEASURED) for line in sections)
    return [*lines, "Read with care:", *(f"- {caveat}" for caveat in _caveats(drives, classes)), f"- {missing} times '{NOT_MEASURED}' stands below.", ""]


def _caveats(drives: Drives, classes: set[str]) -> list[str]:
    """Where the evidence is thinner than METRICS asks, and what the intervals leave out."""
    caveats = []
    absent = [label for label, driver in _ordered(drives) if driver is None]
    if absent:
        caveats.append(f"Not among the drivers: {'; '.join(absent)}.")
    if drives.suite != TO_REPORT:
        caveats.append(f"Suite `{drives.suite}` may have been chosen on; to report is `{TO_REPORT}`.")
    counts = Counter(entry["scenario"] for entry in drives.drivers[0].runs[0].routes.values())
    few = {name: count for name, count in counts.items() if name in classes and count < ROUTES_A_CLASS}
    if few:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(few.items()))
        caveats.append(f"Fewer than {ROUTES_A_CLASS} routes of a class: {listed}. Intervals over so few are too narrow.")
    for driver in drives.drivers:
        if driver.is_trained and len(driver.runs) < TRAINING_SEEDS:
            caveats.append(f"{_label(driver)}: {len(driver.runs)} of {TRAINING_SEEDS} training seeds ({joined(driver.seeds)}).")
        if len(driver.runs) > 1 and len(_perceptions(driver)) == 1:
            caveats.append(f"{_label(driver)}: its training seeds share one encoder; how much they differ tells nothing of perception.")
    perceived, learned = drives.driver(PERCEIVED), drives.driver(LEARNED)
    if perceived and learned and not _perceptions(perceived) <= _perceptions(learned):
        caveats.append(f"{PERCEIVED} sees with another perception than {learned.label}: their difference is not of planning alone.")
    if len({frozenset(driver.runs[0].routes) for driver in drives.drivers}) > 1:
        counted = ", ".join(f"{_label(driver)} {len(driver.runs[0].routes)}" for driver in drives.drivers)
        caveats.append(f"Rows of the tables are of different routes ({counted}); paired comparisons are of those in common.")
    if len(drives.simulator_hashes) > 1:
        caveats.append(f"Driven with {len(drives.simulator_hashes)} versions of the simulator; drives that were made with both are the same to the bit.")
    if any(len(driver.runs) > 1 for driver in drives.drivers):
        caveats.append("Closed-loop intervals are over routes, for these training seeds; how much the seeds differ stands apart.")
    return caveats


def _perceptions(driver: Driver) -> set[str]:
    return {run.card["perception_hash"] for run in driver.runs if "perception_hash" in run.card}


def _label(driver: Driver) -> str:
    return driver.label + SHOWN_AS[driver.pictures]


def _ordered(drives: Drives) -> list[tuple[str, Driver | None]]:
    """The rows of a table: who is wanted, missing ones with None, then the others as they were given."""
    learned = drives.driver(LEARNED)
    names = {LEARNED: learned.label} if learned else {}
    rows = [(names.get(name, name) + SHOWN_AS[pictures], drives.driver(name, pictures)) for name, pictures in WANTED]
    listed = [driver for _, driver in rows]
    return rows + [(_label(driver), driver) for driver in drives.drivers if driver not in listed]


def _closed_loop(drives: Drives, scored: Mapping[Driver, Scored]) -> list[str]:
    header = [
        "driver", "training seeds", "routes", "success, %", "driving score", "collisions per km", "in lane, %", "flicker per min",
        "fork: flickered / took a way / runs", "speed / expert's", "comfort, %",
    ]  # fmt: skip
    rows = [[label, *(_row(scored[driver]) if driver else [NOT_MEASURED] * (len(header) - 1))] for label, driver in _ordered(drives)]
    lines = [
        "## Closed loop",
        "",
        "Success: whole route, no infraction; the mean of the classes' rates. Several training seeds: the mean of each route first.",
        "",
    ]
    lines += table(header, rows)
    many = [driver for driver in drives.drivers if len(driver.runs) > 1]
    if many:
        seeds = [[f"{_label(driver)}, seed {one.seed}", *_row(_of_one(driver, one.seed))[1:]] for driver in many for one in driver.runs]
        lines += ["### Training seeds apart", "", *table([header[0], *header[2:]], seeds)]
    return lines + _by_class(drives, scored)


def _of_one(driver: Driver, seed: int | None) -> Scored:
    only = Driver(runs=tuple(run for run in driver.runs if run.seed == seed))
    return _scored(only, {route: entry["scenario"] for route, entry in only.runs[0].routes.items()})


def _row(scored: Scored) -> list[str]:
    runs, score = [run.routes for run in scored.driver.runs], scored.score

    def mean(key: str, factor: float, digits: int) -> str:
        left_out = not_scored(runs, key)
        return figure({key: score[key]}, key, factor=factor, digits=digits) + (f" [{left_out} {NOT_MEASURED}]" if left_out and score[key] is not None else "")

    fork = fork_flicker(runs)
    return [
        joined(scored.driver.seeds),
        str(len(scored.figures)),
        figure(score, "success_rate", factor=100.0),
        figure(score, "driving_score"),
        figure({"rate": score["collisions_per_km"]}, "rate", digits=2),
        mean("in_lane_share", 100.0, 1),
        figure({"rate": score["flicker_per_min"]}, "rate", digits=1),
        f"{fork.flickered} / {fork.took_way} / {fork.runs}" if fork else NOT_MEASURED,
        mean("speed_ratio", 1.0, 2),
        mean("comfort_share", 100.0, 1),
    ]


def _by_class(drives: Drives, scored: Mapping[Driver, Scored]) -> list[str]:
    columns = _ordered(drives)
    classes = sorted({name for one in scored.values() for name in one.score["per_class"]})
    rows = []
    for name in classes:
        values = [scored[driver].score["per_class"].get(name, {}) if driver else {} for _, driver in columns]
        count = max((value.get("routes", 0) for value in values), default=0)
        rows.append([name, str(count), *(figure({"rate": value.get("success_rate")}, "rate", factor=100.0, digits=0) for value in values)])
    lines = ["### Success by class, %", "", *table(["class", "routes", *(label for label, _ in columns)], rows)]
    blind = [driver for driver in (drives.driver(*who) for who in BLIND) if driver is not None]
    passed = [
        f"{name} ({_label(driver)}, {100.0 * values['success_rate']:.0f} %)"
        for driver in blind
        for name, values in scored[driver].score["per_class"].items()
        if values["success_rate"] >= PASSED_BLIND
    ]
    if not blind:
        return [*lines, f"Whether blind drivers fail the classes: {NOT_MEASURED}.", ""]
    return [*lines, f"Blind drivers succeed in {PASSED_BLIND:.0%} or more of: {', '.join(passed) or 'no class'}. Such a class says little about seeing.", ""]


def _comparison(compared: Mapping[str, Any]) -> list[str]:
    rows = [
        [name, figure(compared, key, factor=factor), excludes_zero(compared.get(f"{key}_ci95")), str(compared.get("routes", NOT_MEASURED))]
        for name, key, factor in (("success, points", "success_rate_difference", 100.0), ("driving score", "driving_score_difference", 1.0))
    ]
    gaps = [
        [name, figure(compared.get(key, {}), "share", factor=100.0, digits=0), str(compared.get("gap_routes", NOT_MEASURED))]
        for name, key in (("success", "success_gap"), ("driving score", "driving_score_gap"))
    ]
    return [
        f"## Learned against {PERCEIVED}",
        "",
        "The difference on the same routes with the same seeds; the bootstrap draws the same routes for both.",
        "",
        *table([f"learned minus {PERCEIVED}", "difference (95 %)", "excludes zero", "routes"], rows),
        f"The share that the learned planner closes of the gap between {PURSUIT} and {ORACLE}:",
        "",
        *table(["by", "share of the gap, % (95 %)", "routes"], gaps),
    ]


def _failures(learned: Driver | None, home: Path) -> list[str]:
    lines = ["## All failures of the learned planner", ""]
    if learned is None:
        return [*lines, f"{NOT_MEASURED.capitalize()}: no trained planner is among the drivers.", ""]
    failed = [(run, route, entry) for run in learned.runs for route, entry in sorted(run.routes.items()) if not entry["is_success"]]
    kinds = Counter(entry["failure_kind"] for _, _, entry in failed)
    total = sum(len(run.routes) for run in learned.runs)
    lines += [f"{len(failed)} of {total} drives of {learned.label}, by what went wrong first (own_test: only its class's own test).", ""]
    rows = [[kind, str(count), _spread(failed, kind)] for kind, count in _ranked(kinds)]
    lines += table(["what went wrong first", "drives", "by class"], rows, is_wordy=True)
    for kind, count in _ranked(kinds):
        rows = []
        for run, route, entry in failed:
            if entry["failure_kind"] == kind:
                film = run.films.get(route)
                shown = f"[film]({os.path.relpath(film, home)})" if film else "no film"
                rows.append([route, entry["scenario"] or "–", str(suite_seed(route)), str(run.seed), entry["failure"], shown])
        lines += [f"### {kind}: {count}", "", *table(["route", "class", "seed", "training seed", "all that went wrong", "film"], rows, is_wordy=True)]
    return lines


def _ranked(kinds: Counter[str]) -> list[tuple[str, int]]:
    return sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))


def _spread(failed: Sequence[tuple[Any, str, Mapping[str, Any]]], kind: str) -> str:
    classes = Counter(entry["scenario"] or "–" for _, _, entry in failed if entry["failure_kind"] == kind)
    return ", ".join(f"{name} {count}" for name, count in _ranked(classes))


def _sources(drives: Drives, reports: Sequence[Report], command: str) -> list[str]:
    rows = []
    for driver in drives.drivers:
        for run in driver.runs:
            hashes = [str(run.card.get(key, "–"))[:12] for key in ("policy_hash", "model_hash", "perception_hash", "recipe_hash")]
            data = joined([data[:12] for data in run.card.get("training_data", [])])
            rows.append([_label(driver), joined([run.seed]), str(run.card["policy"]), joined(run.suite_seeds), *hashes, data, joined(run.homes)])
    header = ["driver", "training seed", "policy", "suite's seeds", "policy hash", "model hash", "perception hash", "recipe hash", "training data", "from"]
    scores = [
        [report.label, s["split"], s["data_hash"][:12], str(s.get("model_hash", "–"))[:12], str(report.path)] for report in reports for s in [report.summary]
    ]
    commands = [*drives.commands, *(report.summary["command"] for report in reports if "command" in report.summary), command]
    lines = ["## Where it comes from", "", f"Simulator {joined(drives.simulator_hashes)}. In the tables, hashes end after 12 digits.", ""]
    lines += table(header, rows, is_wordy=True)
    if scores:
        lines += table(["open loop", "split", "data", "model hash", "from"], scores, is_wordy=True)
    return [*lines, "Made by, in this order:", "", "```bash", *commands, "```", ""]
