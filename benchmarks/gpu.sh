#!/bin/sh
# For a machine with a card: the tests that need one, then minivgg against PyTorch with cuDNN. Nine minutes at most on a fresh machine.
#
#   benchmarks/gpu.sh [FOLDER]     FOLDER (or OUT, or benchmarks/results) gets gpu-<card>-<date>.jsonl and .md, and the tests' output
#   DRY=1 benchmarks/gpu.sh        the same at miniature sizes on the tests' pretend card, to try the script; figures mean nothing
#   PYTHON=…  SECONDS_IN_ALL=…  ROWS="vgg16-tf32 …"     which Python; when to stop (540); which rows, see benchmarks/gpu/rows.py
#
# Each part runs in a process of its own under a time limit, and writes what it has as soon as it has it: a part that hangs, crashes or
# is cut off takes nothing with it. It needs CuPy, NumPy, pytest and the package's own dependencies, no network and no installation;
# without PyTorch minivgg runs alone. Exit code 0 if everything ran and all tests passed, otherwise 1.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
out=${1:-${OUT:-benchmarks/results}}
rows=${ROWS:-vgg16-tf32 vgg16-half vgg16-fp32 vgg11-best vgg16-inference}
begun=$(date +%s)
mkdir -p "$out" || exit 1
code=0
if [ "${DRY:-}" = 1 ]; then
    dry=--dry
    tests="tests/gpu/test_doors.py -k pretend"
    device=cpu
else
    dry=
    tests="tests/gpu -m gpu"
    device=cuda
    export MINIVGG_REQUIRE_GPU=1
fi

part() { # LIMIT COMMAND…: run the command for at most LIMIT seconds, and no longer than there is time
    limit=$1
    shift
    left=$((begun + ${SECONDS_IN_ALL:-540} - $(date +%s)))
    [ "$left" -ge "$limit" ] || limit=$left
    if [ "$limit" -le 0 ]; then
        echo "no time left for: $*"
        code=1
        return
    fi
    echo "$(($(date +%s) - begun)) s: $*"
    timeout -k 5 "$limit" "$@" || {
        echo "ended with exit code $? (124: cut off after $limit s): $*"
        code=1
    }
}

echo "benchmarks/gpu.sh on $(date -u '+%Y-%m-%d %H:%M UTC'), device $device, $(uname -sm)"
[ -n "$dry" ] || nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader
git log -1 --format='commit %h %s' 2>/dev/null
part 60 "$python" -m benchmarks.gpu card $dry --out "$out"
# shellcheck disable=SC2086  # words are arguments
part 150 "$python" -m pytest -q --maxfail=40 -p no:cacheprovider $tests 2>&1 | tee "$out/gpu-tests.txt" | tail -n 25
grep -Eq '^[0-9]+ passed|, [0-9]+ passed' "$out/gpu-tests.txt" && ! grep -Eq '[0-9]+ (failed|error)' "$out/gpu-tests.txt" || code=1
part 30 "$python" -m pytest -q -p no:cacheprovider tests/oracles/test_cupy_names.py 2>&1 | tail -n 3
for row in $rows; do
    part 75 "$python" -m benchmarks.gpu "$row" $dry --out "$out"
done
part 45 "$python" -m benchmarks.gpu ops $dry --out "$out"
part 30 "$python" -m benchmarks.gpu ceilings $dry --out "$out"
echo "$(($(date +%s) - begun)) s in all, exit code $code; results are in $out"
exit $code
