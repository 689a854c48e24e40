"""Builds the extension modules; everything else about the package is in pyproject.toml.

The kernels are Cython.  One of them, `npcnn.kernels.core`, carries the C core of csrc/: variant.c is
compiled once for each instruction set the target architecture may have, and csrc/dispatch.c chooses among them
when the library is loaded, so one build runs on any machine of the architecture.

Environment variables: NPCNN_OPENMP=0 builds without OpenMP (one thread); NPCNN_SANITIZE=1 with AddressSanitizer and
UndefinedBehaviorSanitizer, which tests/run_sanitized.sh needs.
"""

import logging
import os
import platform
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

CSRC = "csrc"
# -ffp-contract=fast lets a*b+c become one fused instruction.  The other two only say that nobody reads errno
# or floating-point traps after a kernel; results and NaNs stay what IEEE 754 says.
FLAGS = ["-std=c11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
# Anything a sanitizer finds ends the program, so that no test can pass with a report in its output.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g"]
VARIANTS = {
    "x86": {
        "avx512": [
            "-mavx512f",
            "-mavx512vl",
            "-mavx512bw",
            "-mavx512dq",
            "-mfma",
            "-mprefer-vector-width=512",
        ],
        "avx2": ["-mavx2", "-mfma"],
        "sse2": ["-msse2"],
        "plain": ["-DNPCNN_PLAIN"],
    },
    "arm": {"neon": [], "plain": ["-DNPCNN_PLAIN"]},
    "other": {"plain": ["-DNPCNN_PLAIN"]},
}
COMPILER_HINT = (
    "install one (Debian, Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc python3-devel; "
    "macOS: xcode-select --install), or name the one to use: CC=clang"
)
OPENMP_HINT = (
    "no OpenMP: npcnn will compute in one thread, because {compiler} does not build with -fopenmp. To use all cores, "
    "install OpenMP for it (Debian, Ubuntu: libgomp1 for gcc, libomp-dev for clang) or build with another compiler "
    "(macOS: brew install gcc, then CC=gcc-15)"
)


def architecture():
    """Return the key of VARIANTS for the machine built for."""
    machine = os.environ.get("_PYTHON_HOST_PLATFORM", platform.machine()).lower()
    if any(name in machine for name in ("x86_64", "amd64")):
        return "x86"
    return "arm" if any(name in machine for name in ("aarch64", "arm64")) else "other"


def extension(name, **options):
    """Return the Cython extension npcnn.kernels.<name>."""
    return Extension(
        f"npcnn.kernels.{name}",
        [f"npcnn/kernels/{name}.pyx"],
        include_dirs=[CSRC],
        depends=[str(path) for path in sorted(Path(CSRC).glob("*"))],
        **options,
    )


class BuildWithVariants(build_ext):
    """build_ext that adds the OpenMP flags the compiler takes, and the variants of csrc/ to `core`."""

    def build_extensions(self):
        """Settle the flags once, then build."""
        self.need_compiler()
        openmp = self.openmp_flags()
        sanitizers = SANITIZERS if os.environ.get("NPCNN_SANITIZE", "0") != "0" else []
        self.flags = FLAGS + openmp + sanitizers
        for ext in self.extensions:
            ext.extra_compile_args += self.flags
            ext.extra_link_args += openmp + sanitizers
        self.parallel = self.parallel or os.cpu_count()  # -j of the command line, or as many compilers as cores
        super().build_extensions()

    def build_extension(self, ext):
        """Compile csrc/ before `core`, which is linked with it, unless it is up to date."""
        if ext.name == "npcnn.kernels.core":
            built = self.get_ext_fullpath(ext.name)
            if self.force or newer_group([*ext.sources, *ext.depends], built, "newer"):
                ext.extra_objects = self.compile_core()
                ext.libraries = ["m"]  # exp, tanh and erfc of activations.inc.c
        super().build_extension(ext)

    def compile_core(self):
        """Compile dispatch.c, and variant.c once per instruction set; return the object files."""
        arch = architecture()
        objects = self.compile_c("dispatch.c", "dispatch", [f"-DNPCNN_{arch.upper()}"])
        with ThreadPoolExecutor(self.parallel) as pool:
            variants = [
                pool.submit(self.compile_c, "variant.c", name, [f"-DVARIANT={name}", *flags])
                for name, flags in VARIANTS[arch].items()
            ]
        return objects + [compiled for variant in variants for compiled in variant.result()]

    def compile_c(self, source, folder, flags):
        """Compile one file of csrc/ into a folder of its own, since variant.c has many objects."""
        return self.compiler.compile(
            [f"{CSRC}/{source}"],
            output_dir=str(Path(self.build_temp, folder)),
            include_dirs=[CSRC],
            extra_postargs=self.flags + flags,
        )

    def need_compiler(self):
        """Raise CompileError, with what to install, unless an extension of Python could be compiled."""
        compiler = self.compiler.compiler_so[0]
        if shutil.which(compiler) is None:
            raise CompileError(f"npcnn needs a C compiler, and there is no {compiler!r}: {COMPILER_HINT}")
        if not self.builds("#include <Python.h>\nint main(void) { return 0; }\n", link=False):
            raise CompileError(
                f"npcnn needs a C compiler and Python's headers, and {compiler!r} could not compile "
                f"a file that includes Python.h (its message is above): {COMPILER_HINT}"
            )

    def openmp_flags(self):
        """Return the flags for OpenMP, or none where the compiler lacks it or NPCNN_OPENMP=0."""
        if os.environ.get("NPCNN_OPENMP", "1") == "0":
            return []
        if self.builds("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n", "-fopenmp"):
            return ["-fopenmp"]
        # announce() shows nothing below WARNING, and pip shows nothing at all: npcnn.show_config() says it again.
        compiler = os.environ.get("CC", self.compiler.compiler_so[0])
        self.announce(OPENMP_HINT.format(compiler=compiler), level=logging.WARNING)
        return []

    def builds(self, program, *flags, link=True):
        """Return whether the compiler takes this C program."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "program.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=list(flags))
                if link:
                    self.compiler.link_executable(objects, "program", output_dir=folder, extra_postargs=list(flags))
            except (CompileError, LinkError):
                return False
        return True


setup(
    ext_modules=cythonize(
        [extension(path.stem) for path in sorted(Path("npcnn/kernels").glob("*.pyx"))],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
        },
    ),
    cmdclass={"build_ext": BuildWithVariants},
)
