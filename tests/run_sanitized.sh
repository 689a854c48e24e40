#!/usr/bin/env bash
# Build npcnn with AddressSanitizer and UndefinedBehaviorSanitizer and run its kernel tests: `make sanitize`.
#
# A read or write outside of an array, a use after free, an overflow of a signed number, a shift too far, a wrong
# alignment: any of them ends the tests with a report.  The build goes to a copy of the project under build/, and the
# tests run on every instruction set this CPU has.  Needs GCC.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$(realpath -s "${PYTHON:-.venv/bin/python}")
compiler=${CC:-gcc}
copy=build/sanitized
mkdir -p "$copy"
rm -rf "$copy"/{csrc,npcnn,tests}
cp -r setup.py pyproject.toml README.md LICENSE conftest.py csrc npcnn tests "$copy/"
rm -f "$copy"/npcnn/kernels/*.so
cd "$copy"

echo "run_sanitized.sh: building"
NPCNN_SANITIZE=1 CC=$compiler "$python" setup.py --quiet build_ext --inplace --force

# Python itself is not built with them, so their libraries must be there before it.  What Python leaves unfreed at exit
# is its own affair.  With PYTHONMALLOC=malloc no pool of Python's hides where an object ends.
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so)"
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
export PYTHONMALLOC=malloc OPENBLAS_NUM_THREADS=1 PYTHONPATH="$PWD"

for isa in $("$python" -c "from npcnn.kernels import core; print(*core.supported_isas())"); do
    echo "run_sanitized.sh: kernel tests on $isa"
    NPCNN_ISA=$isa "$python" -m pytest -q -p no:cacheprovider tests/test_convolution.py tests/test_groups.py tests/test_pooling.py \
        tests/test_activations.py tests/test_all_ops.py tests/test_fusion.py tests/test_toom_cook.py tests/test_few_pictures.py \
        tests/test_optimizers.py tests/test_layers.py
done
echo "run_sanitized.sh: what is drawn, wrong input, networks"
"$python" -m pytest -q -p no:cacheprovider "$@" tests/test_all_ops_drawn.py tests/test_bad_input.py tests/test_sequential.py tests/test_remembered.py \
    tests/test_config.py
echo "run_sanitized.sh: no report"
