#!/usr/bin/env bash
# Run some kernel tests under valgrind, a second opinion beside `make sanitize`: `make valgrind`.
#
# Valgrind watches the very build that is used, but knows no AVX-512 instruction, so the tests run on AVX2; and it is
# fifty times slower, so they are few.  It also sees what sanitizers do not: decisions made on uninitialised memory.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-.venv/bin/python}
command -v valgrind > /dev/null || { echo "run_valgrind.sh needs valgrind; on Debian: apt-get install valgrind" >&2; exit 1; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Only what happens inside npcnn's own modules counts: the interpreter and NumPy have reports of their own.
NPCNN_ISA=avx2 PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell OMP_NUM_THREADS=2 \
    valgrind --log-file="$log" --num-callers=20 "$python" -m pytest -q -p no:cacheprovider \
    tests/test_convolution.py tests/test_pooling.py tests/test_activations.py tests/test_all_ops.py \
    -k "by_hand or all_ops or 7-float32 or 3-float64" "$@"

if grep -A20 -E "Invalid (read|write)|uninitialised" "$log" | grep -E "npcnn/kernels/[a-z0-9_]+\.cpython"; then
    echo "run_valgrind.sh: reports inside npcnn, see above" >&2
    exit 1
fi
echo "run_valgrind.sh: no report from npcnn"
