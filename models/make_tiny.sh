#!/usr/bin/env bash
# Makes models/tiny anew in out/tiny: records, extracts, labels, trains with tiny/first.yaml, then twice with tiny/recipe.yaml,
# the second time on what the first one drove, too. Who interrupts it starts it again, and it goes on. Seven hours on two cores,
# reckoned from its parts, which ran one by one; the one that is here had its perception stage from a GPU (five minutes), which
# does not give the same bits, and knows half of what its learner drove (30 drives).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
./setup_venv.sh
out=out/tiny
mimic() { .venv/bin/mimic "$@"; }
record() { [ -d "$out/$1" ] || mimic sim record "${@:2}" --rig quad --image-rate 5 --out "$out/$1" --resume; }
store() { # NAME DRIVE…
  [ -f "$out/$1_store.done" ] && return
  mimic extract "${@:2}" --topics towns --out "$out/$1_store" --overwrite
  mimic label "$out/$1_store" --topics towns --truth "$out/$1" --overwrite
  touch "$out/$1_store.done"
}

mkdir -p "$out"
record train --suite train --seeds 1,2 --disturb 0.33
record more --suite train_more --seeds 3 --disturb 0.33                                           # the same situations in six more towns
record blind --suite dagger --seeds 21,22 --seed 21 --policy route_pursuit --expert-share 0.7     # sees nobody, and the expert corrects it
record erratic --suite dagger --seeds 31,32 --seed 31 --policy erratic_pursuit --expert-share 0.6 # stands and goes by lot
record val --suite val_small --seeds 11,12
drives=$(awk '$2 !~ /^round_/' models/tiny/drives.sha256) # what the learner drove is another time another
(cd "$out" && sha256sum --quiet --check <<<"$drives")    # the very drives that it learned from
store train $(awk -v out="$out" '$2 ~ /^train\// {sub("/rows.parquet", "", $2); print out "/" $2}' <<<"$drives")
for name in more blind erratic val; do store "$name" "$out/$name"/drive_*; done
mimic train models/tiny/first.yaml --data "$out"/{train,blind,val}_store --out "$out/first" --resume
mimic train models/tiny/recipe.yaml --data "$out"/{train,blind,erratic,val}_store --encoder "$out/first" --out "$out/learner" --resume
record round_2 --suite dagger_more --seeds 41 --seed 41 --policy "$out/learner" --expert-share 0.5
store round_2 "$out"/round_2/drive_*
mimic train models/tiny/recipe.yaml --data "$out"/{train,blind,erratic,more,round_2,val}_store --encoder "$out/first" --out "$out/run" --resume
