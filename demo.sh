#!/usr/bin/env bash
# Drives a town with the planner that comes along; then learns from a recorded drive, and drives with what it learned.
#
#   ./demo.sh                              drive a town; record the expert in the simulator, learn, score, drive the course
#   ./demo.sh --bag PATH --topics MAP.yaml learn from your own bag and score on its held-out part
#
# Everything it makes is in out/demo (or out/demo_bag); --out DIR puts it elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() { sed -n '2,8s/^# \{0,1\}//p' demo.sh; }
fail() { echo "demo.sh: $1" >&2; usage >&2; exit 2; }

bag="" topics="" out=""
while [ $# -gt 0 ]; do
  case "$1" in
    --bag | --topics | --out) [ $# -ge 2 ] || fail "$1 needs a value"; declare "${1#--}=$2"; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    *) fail "unknown argument '$1'" ;;
  esac
done
if [ -n "$bag" ] || [ -n "$topics" ]; then
  [ -n "$bag" ] && [ -n "$topics" ] || fail "--bag and --topics go together"
  [ -e "$bag" ] || fail "--bag: '$bag' does not exist"
  [ -f "$topics" ] || fail "--topics: '$topics' does not exist"
  out="${out:-out/demo_bag}"
else
  out="${out:-out/demo}"
fi

started=$SECONDS
step() { printf '\n[%d:%02d] %s\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)) "$1"; }

step "Preparing .venv (about two minutes the first time)"
./setup_venv.sh
mimic() { .venv/bin/mimic "$@"; }
rm -rf "$out"
mkdir -p "$out"

if [ -n "$bag" ]; then
  step "Extracting training data from $bag"
  mimic extract "$bag" --topics "$topics" --out "$out/store"
  recipe=config/recipes/steering.yaml
  grep -q '"pose"' "$out/store/store.json" && recipe=config/recipes/car.yaml
  step "Learning with $recipe"
  mimic train "$recipe" --data "$out/store" --out "$out/run"
  step "Scoring on the held-out part"
  mimic score --policy "$out/run" --data "$out/store" --split test --out "$out/score"
  step "Done. Report: $out/score/report.html"
  exit 0
fi

step "Driving a town that it has not learned from, with models/tiny"
mimic drive --policy models/tiny --suite demo_town --seeds 1 --videos all --out "$out/town"
step "Recording the expert's drives"
mimic sim record --towns course --hours 0.17 --seed 1 --disturb --image-rate 10 --out "$out/drives"
step "Extracting training data from the recorded bags"
mimic extract "$out"/drives/drive_* --topics config/topics/simulator.yaml --out "$out/store"
step "Learning to drive like the expert"
mimic train config/recipes/course.yaml --data "$out/store" --out "$out/run"
step "Scoring on a drive that it never saw"
mimic score --policy "$out/run" --data "$out/store" --split test --out "$out/score"
step "Driving the course with what it learned, through the real nodes"
mimic drive --policy "$out/run" --suite course_day --seeds 1 --over-ros --out "$out/drive"
step "Done. Open-loop report: $out/score/report.html; drive: $out/drive/report.html; video in $out/drive. The town: $out/town/report.html"
