#!/bin/sh
# For a machine with a card: the tests that need one, then minivgg against PyTorch with cuDNN. Nine minutes at most on a fresh machine.
#
#   benchmarks/gpu.sh [FOLDER]     FOLDER (or OUT, or benchmarks/results) gets gpu-<card>-<date>.jsonl and .md, and gpu-tests.txt
#   DRY=1 benchmarks/gpu.sh        the same at miniature sizes on the tests' pretend card, to try the script; figures mean nothing
#   PYTHON=…  SECONDS_IN_ALL=540  TESTS="kernels …"  ROWS="vgg16-tf32 …"      see tests/gpu and benchmarks/gpu/rows.py
#
# Each part runs in a process of its own under a time limit, and writes what it has as soon as it has it: a part that hangs, crashes or
# is cut off takes nothing with it. `seconds` says how long each part may take in any case, all together no longer than there is time;
# what one leaves, the next ones may use. Tests that are cut off get what time is left at the end. It needs CuPy, NumPy, pytest and the package's
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
quiet='-p no:cacheprovider -W default::DeprecationWarning' # a newer Python or NumPy may deprecate what we use: no failure
bad=0 late=''

seconds() { # PART: what it has in any case
    case $1 in
    tests) echo 135 ;;
    vgg16-tf32 | vgg16-half) echo 65 ;; # the first compiles all kernels, the second has six contenders
    vgg16-fp32 | vgg11-best) echo 45 ;;
    algorithms) echo 55 ;;
    vgg16-inference | card | ceilings | ops) echo 25 ;;
    names) echo 10 ;;
    *) echo 45 ;;
    esac
}

left() { echo $((begun + ${SECONDS_IN_ALL:-540} - $(date +%s))); }

window() { # PART MOST: sets `limit` to the seconds that are not kept for later parts, its own at least, MOST at most
    later=$((later - $(seconds "$1")))
    limit=$(($(left) - later))
    [ "$limit" -ge "$(seconds "$1")" ] || limit=$(seconds "$1")
    [ "$limit" -le "$2" ] || limit=$2
}

part() { # LIMIT COMMAND…: run it for at most LIMIT seconds, and no longer than there is time; its exit code, 124 if it was cut off
    limit=$1
    shift
    [ "$(left)" -ge "$limit" ] || limit=$(left)
    if [ "$limit" -le 0 ]; then
        echo "no time left for: $*"
        return 124
    fi
    echo "$(($(date +%s) - begun)) s: $*"
    timeout -s INT -k 5 "$limit" "$@"
    ended=$?
    [ "$ended" = 0 ] || echo "ended with exit code $ended (124: cut off after $limit s): $*"
    return "$ended"
}

tested() { # LIMIT NAME: the tests of a card in tests/gpu/test_NAME.py
    part "$1" "$python" -m pytest -q --tb=short --maxfail=25 $quiet "tests/gpu/test_$2.py" -k "$select" >"$out/last.txt" 2>&1
    ended=$?
    cat "$out/last.txt" >>"$out/gpu-tests.txt"
    grep -Ev '^[.sFEx]+ *\[|^SKIPPED|^$' "$out/last.txt" | tail -n 12
    rm "$out/last.txt"
    return "$ended"
}

echo "benchmarks/gpu.sh on $(date -u '+%Y-%m-%d %H:%M UTC'), $(uname -sm), $("$python" --version)"
[ -n "$dry" ] || nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv,noheader 2>/dev/null
git log -1 --format='commit %h %s' 2>/dev/null
later=0
for name in card ceilings tests names $rows ops algorithms; do later=$((later + $(seconds "$name"))); done
window card 60
part "$limit" "$python" -m benchmarks.gpu card $dry --out "$out" || exit 1 # there is no card, or nothing works
window ceilings 40
part "$limit" "$python" -m benchmarks.gpu ceilings $dry --out "$out" || bad=1
window tests 140
until=$(($(date +%s) + limit))
for name in $tests; do
    limit=$((until - $(date +%s)))
    [ "$limit" -le 70 ] || limit=70
    if [ "$limit" -le 0 ]; then
        late="$late $name"
        continue
    fi
    tested "$limit" "$name"
    case $? in
    0) ;;
    1 | 2) bad=1 ;;
    *) late="$late $name" ;;
    esac
done
window names 20
part "$limit" "$python" -m pytest -q $quiet tests/oracles/test_cupy_names.py 2>&1 | tail -n 3
for name in $rows ops algorithms; do
    window "$name" 90
    part "$limit" "$python" -m benchmarks.gpu "$name" $dry --out "$out" || bad=1
done
for name in $late; do
    tested 200 "$name" || bad=1
done
echo "$(($(date +%s) - begun)) s in all, exit code $bad; results are in $out"
exit "$bad"
