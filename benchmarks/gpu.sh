#!/bin/sh
# For a machine with a card: the tests that need one, then minivgg against PyTorch with cuDNN. Nine minutes at most on a fresh machine.
#
#   benchmarks/gpu.sh [FOLDER]     FOLDER (or OUT, or benchmarks/results) gets gpu-<card>-<date>.jsonl and .md, and gpu-tests.txt
#   DRY=1 benchmarks/gpu.sh        the same at miniature sizes on the tests' pretend card, to try the script; figures mean nothing
#   PYTHON=…  SECONDS_IN_ALL=540  TESTS="kernels …"  ROWS="vgg16-tf32 …"      see tests/gpu and benchmarks/gpu/rows.py
#
# Each part runs in a process of its own under a time limit, and writes what it has as soon as it has it: a part that hangs, crashes or
# is cut off takes nothing with it. Tests that are cut off get what time is left at the end. It needs CuPy, NumPy, pytest and the package's
# own dependencies, no network and no installation; without PyTorch minivgg runs alone. Exit code 0 if everything ran and all tests passed.
set -u
cd "$(dirname "$0")/.." || exit 1
python=${PYTHON:-python3}
out=${1:-${OUT:-benchmarks/results}}
rows=${ROWS:-vgg16-tf32 vgg16-half vgg16-fp32 vgg11-best vgg16-inference}
begun=$(date +%s)
mkdir -p "$out" || exit 1
: >"$out/gpu-tests.txt"
if [ "${DRY:-}" = 1 ]; then
    dry=--dry select=pretend tests=${TESTS:-doors}
    unset MINIVGG_REQUIRE_GPU
else
    dry='' select=cupy tests=${TESTS:-doors kernels training networks precision commands contract}
    export MINIVGG_REQUIRE_GPU=1
fi
bad=0 late=''

part() { # LIMIT COMMAND…: run it for at most LIMIT seconds, and no longer than there is time; its exit code, 124 if it was cut off
    limit=$1
    shift
    left=$((begun + ${SECONDS_IN_ALL:-540} - $(date +%s)))
    [ "$left" -ge "$limit" ] || limit=$left
    if [ "$limit" -le 0 ]; then
        echo "no time left for: $*"
        return 124
    fi
    echo "$(($(date +%s) - begun)) s: $*"
    timeout -s INT -k 10 "$limit" "$@"
    ended=$?
    [ "$ended" = 0 ] || echo "ended with exit code $ended (124: cut off after $limit s): $*"
    return "$ended"
}

tested() { # LIMIT NAME: the tests of a card in tests/gpu/test_NAME.py
    part "$1" "$python" -m pytest -q --tb=short --maxfail=25 -p no:cacheprovider "tests/gpu/test_$2.py" -k "$select" >"$out/last.txt" 2>&1
    ended=$?
    cat "$out/last.txt" >>"$out/gpu-tests.txt"
    grep -Ev '^[.sFEx]+ *\[|^SKIPPED|^$' "$out/last.txt" | tail -n 12
    rm "$out/last.txt"
    return "$ended"
}

echo "benchmarks/gpu.sh on $(date -u '+%Y-%m-%d %H:%M UTC'), $(uname -sm), $("$python" --version)"
[ -n "$dry" ] || nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null
git log -1 --format='commit %h %s' 2>/dev/null
part 60 "$python" -m benchmarks.gpu card $dry --out "$out" || exit 1 # there is no card, or nothing works
for name in $tests; do
    window=$((begun + 170 - $(date +%s))) # so that the benchmarks have their time
    [ "$window" -le 70 ] || window=70
    if [ "$window" -gt 0 ]; then tested "$window" "$name"; else false; fi
    case $? in
    0) ;;
    1 | 2) [ "$window" -gt 0 ] && bad=1 || late="$late $name" ;;
    *) late="$late $name" ;;
    esac
done
part 20 "$python" -m pytest -q -p no:cacheprovider tests/oracles/test_cupy_names.py 2>&1 | tail -n 3
for row in $rows; do
    part 90 "$python" -m benchmarks.gpu "$row" $dry --out "$out" || bad=1
done
part 60 "$python" -m benchmarks.gpu ops $dry --out "$out" || bad=1
part 30 "$python" -m benchmarks.gpu ceilings $dry --out "$out" || bad=1
for name in $late; do
    tested 200 "$name" || bad=1
done
echo "$(($(date +%s) - begun)) s in all, exit code $bad; results are in $out"
exit "$bad"
