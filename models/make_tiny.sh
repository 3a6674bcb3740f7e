#!/usr/bin/env bash
# Makes models/tiny anew in out/tiny: records, extracts, labels, trains with tiny/first.yaml, then twice with tiny/second.yaml,
# the second time on what the first one drove, too; then goes on with tiny/third.yaml in towns whose streets do not meet at right
# angles, again twice, and with tiny/fourth.yaml where they wind, too. In the end it learns with tiny/recipe.yaml, in all of its
# towns and on what it drove there itself, to correct its paths by what lies along them, and nothing else. Who interrupts it starts
# it again, and it goes on. Twelve hours on two cores, reckoned from its parts, which ran one by one; the one that is here had its
# perception stage from a GPU (five minutes), which does not give the same bits, and knows half of what its learner drove in
# round_2 (30 drives); its learner_3 had 2,500 steps instead of 3,500; and none of its stages before the fourth looked at the
# ground from above, or any before the last along its paths.
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
record slanted --suite train_slanted --seeds 4 --disturb 0.33                                     # where streets do not meet at right angles
record winding --suite train_winding --seeds 6 --disturb 0.33                                     # where they bend everywhere
record some_3 --suite train_some --seeds 3 --disturb 0.33
record some_5 --suite train_some --seeds 5 --disturb 0.33
record blind_21 --suite dagger --seeds 21 --seed 21 --policy route_pursuit --expert-share 0.7
record erratic_31 --suite dagger --seeds 31 --seed 31 --policy erratic_pursuit --expert-share 0.6
record val_11 --suite val_small --seeds 11
record val_slanted --suite val_slanted --seeds 11
record varied --suite train_varied --seeds 7 --disturb 0.33                                       # all of this, other facades, too
record val_winding --suite val_winding --seeds 11
drives=$(awk '$2 !~ /^round_/' models/tiny/{before,drives}.sha256) # what the learner drove is another time another
(cd "$out" && sha256sum --quiet --check <<<"$drives")             # the very drives that it learned from
store train $(awk -v out="$out" '$2 ~ /^train\// {sub("/rows.parquet", "", $2); print out "/" $2}' <<<"$drives")
for name in more blind erratic val slanted winding some_{3,5} blind_21 erratic_31 val_11 val_slanted varied val_winding; do store "$name" "$out/$name"/drive_*; done
mimic train models/tiny/first.yaml --data "$out"/{train,blind,val}_store --out "$out/first" --resume
mimic train models/tiny/second.yaml --data "$out"/{train,blind,erratic,val}_store --encoder "$out/first" --out "$out/learner_2" --resume
record round_2 --suite dagger_more --seeds 41 --seed 41 --policy "$out/learner_2" --expert-share 0.5
store round_2 "$out"/round_2/drive_*
mimic train models/tiny/second.yaml --data "$out"/{train,blind,erratic,more,round_2,val}_store --encoder "$out/first" --out "$out/before" --resume

go_on() { # RECIPE BEFORE RUN STORE…
  local stores=("${@:4}" "$out"/{val_11,val_slanted}_store)
  mimic train "models/tiny/$1.yaml" --data "${stores[@]}" --encoder "$out/before" --begin-with "$out/$2" --out "$out/$3" --resume
}
go_on third before learner_3 "$out"/{slanted,some_3}_store
record round_3 --suite dagger_slanted --seeds 51 --seed 51 --policy "$out/learner_3" --expert-share 0.5
store round_3 "$out"/round_3/drive_*
go_on third before slanted_run "$out"/{slanted,some_3,some_5,round_3,erratic_31,blind_21}_store
go_on fourth slanted_run learner_4 "$out"/{slanted,some_3,some_5,winding,round_3,erratic_31,blind_21}_store
record round_4 --suite dagger_all --seeds 71 --seed 71 --policy "$out/learner_4" --expert-share 0.5
store round_4 "$out"/round_4/drive_*
mimic train models/tiny/recipe.yaml --data "$out"/{round_4,varied,val_winding}_store --encoder "$out/before" --begin-with "$out/learner_4" --out "$out/run" --resume
