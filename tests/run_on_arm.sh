#!/usr/bin/env bash
# Build npcnn for 64-bit ARM and run its kernel tests there, on an x86-64 Debian machine: `make test-arm`.
#
# The NEON variant cannot run on an x86 CPU, so this gets an ARM Python from Debian's packages, unpacks it into a
# folder (nothing is installed), cross-compiles the kernels for it, and runs the tests under qemu's user emulation.
# What is downloaded stays in the work folder, .arm64 or $NPCNN_ARM_FOLDER, so that a second run is quick.
set -euo pipefail
cd "$(dirname "$0")/.."

host_python=$(realpath -s "${PYTHON:-.venv/bin/python}")
work=$(mkdir -p "${NPCNN_ARM_FOLDER:-.arm64}" && cd "${NPCNN_ARM_FOLDER:-.arm64}" && pwd)
root=$work/root         # the ARM system: its Python and libraries
site=$work/site         # NumPy, pytest and hypothesis for ARM
build=$work/npcnn       # a copy of the project, with ARM kernels in it

for tool in aarch64-linux-gnu-gcc qemu-aarch64 apt-get dpkg-deb; do
    command -v "$tool" > /dev/null || {
        echo "run_on_arm.sh needs $tool; on Debian: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user" >&2
        exit 1
    }
done

if [ ! -e "$root/complete" ]; then
    echo "run_on_arm.sh: getting an ARM Python from Debian's packages"
    # An apt of its own, that believes in an ARM machine with nothing installed; it reads this machine's sources.
    mkdir -p "$work"/apt/{state/lists,cache/archives}/partial
    : > "$work/apt/status"
    apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Install-Recommends=false
        -o "Dir::State=$work/apt/state" -o "Dir::State::status=$work/apt/status" -o "Dir::Cache=$work/apt/cache"
        -o Debug::NoLocking=1 -o "APT::Sandbox::User=$(id -un)")
    "${apt[@]}" update
    "${apt[@]}" -y --download-only install python3.11 libpython3.11-dev libgomp1 libstdc++6
    rm -rf "$root"
    for package in "$work"/apt/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    touch "$root/complete"
fi
arm_python=(qemu-aarch64 -L "$root" "$root/usr/bin/python3.11")

if [ ! -d "$site/safetensors" ]; then
    "$host_python" -m pip install --quiet --target "$site" --only-binary=:all: --python-version 3.11 \
        --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 numpy safetensors tqdm pytest hypothesis
fi

echo "run_on_arm.sh: cross-compiling the kernels"
mkdir -p "$build"
cp -r setup.py pyproject.toml README.md LICENSE conftest.py csrc npcnn tests "$build/" 2> /dev/null || true
rm -f "$build"/npcnn/kernels/*.so
# setuptools builds for the machine that _PYTHON_HOST_PLATFORM names; the headers of the ARM Python come first.
(cd "$build" && _PYTHON_HOST_PLATFORM=linux-aarch64 CC=aarch64-linux-gnu-gcc LDSHARED="aarch64-linux-gnu-gcc -shared" \
    SETUPTOOLS_EXT_SUFFIX=.cpython-311-aarch64-linux-gnu.so \
    CFLAGS="-I$root/usr/include/python3.11 -I$root/usr/include" \
    "$host_python" setup.py --quiet build_ext --inplace --force)

export PYTHONPATH=$site PYTHONHOME=$root/usr PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=2
cd "$build"
"${arm_python[@]}" -c "import npcnn; npcnn.show_config(); assert npcnn.config.current()['isa'] == 'neon'"
echo "run_on_arm.sh: kernel tests on neon (some minutes)"
NPCNN_ISA=neon "${arm_python[@]}" -m pytest -q -p no:cacheprovider \
    tests/test_convolution.py tests/test_pooling.py tests/test_activations.py tests/test_all_ops.py \
    tests/test_toom_cook.py tests/test_groups.py
echo "run_on_arm.sh: and some on plain"
NPCNN_ISA=plain "${arm_python[@]}" -m pytest -q -p no:cacheprovider tests/test_all_ops.py
