#!/usr/bin/env bash
# Build the C core for 64-bit Windows and run tests/windows_core.c there, on Debian: `make test-windows`.
#
# MinGW compiles it with the flags of setup.py, with OpenMP and without, and Wine runs it.  There is no Python in it:
# what a wheel for Windows does beside the C core is tested where that wheel is built.
set -euo pipefail
cd "$(dirname "$0")/.."

compiler=${CC:-x86_64-w64-mingw32-gcc-posix}
wine=${WINE:-wine}
python=${PYTHON:-python3}
for tool in "$compiler" "$wine"; do
    command -v "$tool" > /dev/null || {
        echo "run_on_windows.sh needs $tool; on Debian: apt-get install gcc-mingw-w64-x86-64-posix wine wine64" >&2
        exit 1
    }
done

work=$(mktemp -d)
# Wine keeps its Windows in a folder; it asks for no window and for nothing to be installed.
export WINEPREFIX=$work/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" DISPLAY=
trap 'WINEPREFIX=$work/wine wineserver -k 2> /dev/null || true; rm -rf "$work"' EXIT

# setup.py is not run, only read: its flags, and those of each variant, one a line.
flags() {
    "$python" - "$1" <<'END'
import ast, sys

constants = {
    target.id: ast.literal_eval(node.value)
    for node in ast.parse(open("setup.py", encoding="utf-8").read()).body if isinstance(node, ast.Assign)
    for target in node.targets if getattr(target, "id", "") in ("FLAGS", "VARIANTS", "MINGW")
}
if sys.argv[1] == "all":
    print(*constants["FLAGS"], *constants["MINGW"])
else:
    for name, flags in constants["VARIANTS"]["x86"].items():
        print(name, *flags)
END
}

build_and_run() {   # the name of the build, then what OpenMP needs
    local folder=$work/$1
    shift
    mkdir "$folder"
    # shellcheck disable=SC2046
    local compile=("$compiler" $(flags all) -Wall -Wextra "$@" -Icsrc -c)
    while read -r name variant; do
        # shellcheck disable=SC2086
        "${compile[@]}" "-DVARIANT=$name" $variant csrc/variant.c -o "$folder/$name.o"
    done < <(flags variants)
    "${compile[@]}" -DNPCNN_X86 csrc/dispatch.c -o "$folder/dispatch.o"
    "${compile[@]}" tests/windows_core.c -o "$folder/core.o"
    "$compiler" -static "$@" "$folder"/*.o -o "$folder/core.exe"
    "$wine" "$folder/core.exe" | tr -d '\r' | tee "$folder/printed"
    tail -n 1 "$folder/printed" | grep -qx "all passed"
}

build_and_run with-openmp -fopenmp
build_and_run without-openmp
