"""Builds the extension modules; everything else about the package is in pyproject.toml.

The kernels are Cython.  One of them, `npcnn.kernels.core`, carries the C core of csrc/: variant.c is
compiled once for each instruction set the target architecture may have, and csrc/dispatch.c chooses among them
when the library is loaded, so one build runs on any machine of the architecture.

One build also runs on every Python from 3.11 on: it uses Python's limited API only, which stays the same.

Environment variables: CC names the compiler; NPCNN_OPENMP=0 builds without OpenMP (one thread); NPCNN_SANITIZE=1 with
AddressSanitizer and UndefinedBehaviorSanitizer, which tests/run_sanitized.sh needs; NPCNN_REPOSITORY is the address of
the repository, as GitHub forms those, to which the links of README.md lead on a package index.
"""

import logging
import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import EXTENSION_SUFFIXES
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
# GCC for Windows aligns the stack to 16 bytes, and moves longer vectors there as if it were aligned to their length.
MINGW = ["-Wa,-muse-unaligned-vector-move"]
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
LIMITED_API = {"define_macros": [("Py_LIMITED_API", "0x030B0000")], "py_limited_api": True}
LOWEST_PYTHON = "cp311"
# How each system's compilers are asked for OpenMP: when they compile, when they link.  Apple's takes the second, and
# has neither omp.h nor libomp of its own.
OPENMP = [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])]
COMPILER_HINT = (
    "install one (Debian, Ubuntu: apt install gcc python3-dev; Fedora: dnf install gcc python3-devel; "
    "macOS: xcode-select --install), or name the one to use: CC=clang"
)
OPENMP_HINT = (
    "no OpenMP: npcnn will compute in one thread, because {compiler} does not build with -fopenmp. To use all cores, "
    "install OpenMP for it (Debian, Ubuntu: libgomp1 for gcc, libomp-dev for clang; macOS: brew install libomp, then "
    "CPPFLAGS=-I$(brew --prefix libomp)/include LDFLAGS=-L$(brew --prefix libomp)/lib) or build with another compiler"
)
MSVC_HINT = (
    "npcnn's C core is written with vector extensions, which Microsoft's cl does not have: install LLVM "
    "(https://llvm.org), whose clang-cl is used when it is on PATH or when CC names it, or build with MinGW: "
    "python setup.py build_ext --compiler=mingw32"
)
FREE_THREADED_HINT = (
    "npcnn does not run on free-threaded Python yet: its kernels share memory that the GIL guards, and one build for "
    "all Pythons needs the limited API, which free-threaded Python does not have. Use python{version}, without the t"
)
ONE_ARCHITECTURE_HINT = (
    "npcnn is built for one architecture at a time, because each has instruction sets of its own, and ARCHFLAGS names "
    "several ({flags}): build once with ARCHFLAGS='-arch arm64' and once with ARCHFLAGS='-arch x86_64'"
)


def architecture():
    """Return the key of VARIANTS for the machine built for."""
    named = os.environ.get("ARCHFLAGS") or os.environ.get("_PYTHON_HOST_PLATFORM")
    machine = (named or platform.machine()).lower()
    if any(name in machine for name in ("x86_64", "amd64")):
        return "x86"
    return "arm" if any(name in machine for name in ("aarch64", "arm64")) else "other"


def extension(name):
    """Return the Cython extension npcnn.kernels.<name>."""
    return Extension(
        f"npcnn.kernels.{name}",
        [f"npcnn/kernels/{name}.pyx"],
        include_dirs=[CSRC],
        depends=[str(path) for path in sorted(Path(CSRC).glob("*"))],
        **LIMITED_API,
    )


class BuildWithVariants(build_ext):
    """build_ext that adds the OpenMP flags the compiler takes, and the variants of csrc/ to `core`."""

    def run(self):
        """Remember first whether modules are built beside their source: setuptools forgets it until they are there."""
        self.for_development = self.inplace
        super().run()

    def build_extensions(self):
        """Settle compiler and flags once, then build."""
        if self.compiler.compiler_type == "msvc":
            self.take_clang_cl()
        self.need_compiler()
        to_compile, to_link = self.openmp_flags()
        sanitizers = SANITIZERS if os.environ.get("NPCNN_SANITIZE", "0") != "0" else []
        self.flags = self.spelt(FLAGS + to_compile + sanitizers) + self.flags_of_mingw()
        for ext in self.extensions:
            ext.extra_compile_args += self.flags
            ext.extra_link_args += to_link + sanitizers + self.stripped()
        self.parallel = self.parallel or os.cpu_count()  # -j of the command line, or as many compilers as cores
        super().build_extensions()

    def build_extension(self, ext):
        """Compile csrc/ before `core`, which is linked with it, unless it is up to date."""
        if ext.name == "npcnn.kernels.core":
            built = self.get_ext_fullpath(ext.name)
            if self.force or newer_group([*ext.sources, *ext.depends], built, "newer"):
                ext.extra_objects = self.compile_core()
                if self.compiler.compiler_type == "unix":  # elsewhere these are in C's one library
                    ext.libraries = ["m"]  # exp, tanh and erfc of activations.inc.c
        super().build_extension(ext)

    def get_libraries(self, ext):
        """Return what to link with: on Windows, for MinGW, the library that all Pythons from 3.11 on have."""
        if self.compiler.compiler_type == "mingw32":
            return [*ext.libraries, "python3"]
        return super().get_libraries(ext)

    def copy_extensions_to_source(self):
        """Put the modules beside their source, and remove older ones there that Python would find first."""
        super().copy_extensions_to_source()
        for ext in self.extensions:
            built = Path(self.get_ext_fullpath(ext.name))
            for older in {built.with_name(ext.name.split(".")[-1] + suffix) for suffix in EXTENSION_SUFFIXES} - {built}:
                older.unlink(missing_ok=True)

    def compile_core(self):
        """Compile dispatch.c, and variant.c once per instruction set; return the object files."""
        arch = architecture()
        objects = self.compile_c("dispatch.c", "dispatch", [f"-DNPCNN_{arch.upper()}"])
        with ThreadPoolExecutor(self.parallel) as pool:
            variants = [
                pool.submit(self.compile_c, "variant.c", name, [f"-DVARIANT={name}", *self.spelt(flags)])
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

    def take_clang_cl(self):
        """Compile with clang-cl in the place of Microsoft's cl, or raise CompileError with what to install."""
        compiler = shutil.which(os.environ.get("CC", "clang-cl"))
        if compiler is None or not Path(compiler).stem.startswith("clang-cl"):
            raise CompileError(MSVC_HINT)
        if not self.compiler.initialized:
            self.compiler.initialize(self.plat_name)
        self.compiler.cc = compiler
        self.compiler.compile_options.append("-Wno-unused-command-line-argument")  # that is, cl's /GL
        self.compiler.library_dirs.append(str(Path(compiler).parent.parent / "lib"))  # where LLVM keeps libomp

    def spelt(self, flags):
        """Return flags as the compiler takes them: clang-cl has those of Clang behind a prefix."""
        return [f"/clang:{flag}" for flag in flags] if self.compiler.compiler_type == "msvc" else flags

    def compiler_name(self):
        """Return the program that compiles."""
        return self.compiler.cc if self.compiler.compiler_type == "msvc" else self.compiler.compiler_so[0]

    def flags_of_mingw(self):
        """Return what GCC for Windows needs besides; Clang for it does not, and refuses the flag."""
        is_mingw = self.compiler.compiler_type == "mingw32"
        return MINGW if is_mingw and self.builds("int main(void) { return 0; }\n", MINGW) else []

    def stripped(self):
        """Return what leaves names for debuggers out of a module that is installed: they are three quarters of it."""
        if self.for_development or self.compiler.compiler_type != "unix":
            return []
        return ["-Wl,-x"] if sys.platform == "darwin" else ["-Wl,--strip-all"]

    def need_compiler(self):
        """Raise CompileError, with what to install, unless an extension of Python could be compiled."""
        compiler = self.compiler_name()
        if shutil.which(compiler) is None:
            raise CompileError(f"npcnn needs a C compiler, and there is no {compiler!r}: {COMPILER_HINT}")
        if not self.builds("#include <Python.h>\nint main(void) { return 0; }\n", link=False):
            raise CompileError(
                f"npcnn needs a C compiler and Python's headers, and {compiler!r} could not compile "
                f"a file that includes Python.h (its message is above): {COMPILER_HINT}"
            )

    def openmp_flags(self):
        """Return the flags for OpenMP, to compile and to link; none where the compiler lacks it or NPCNN_OPENMP=0."""
        if os.environ.get("NPCNN_OPENMP", "1") == "0":
            return [], []
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        for to_compile, to_link in OPENMP:
            to_link = [] if self.compiler.compiler_type == "msvc" else to_link  # the objects name libomp themselves
            if self.builds(program, self.spelt(to_compile), to_link):
                return to_compile, to_link
        # announce() shows nothing below WARNING, and pip shows nothing at all: npcnn.show_config() says it again.
        compiler = os.environ.get("CC", self.compiler_name())
        self.announce(OPENMP_HINT.format(compiler=compiler), level=logging.WARNING)
        return [], []

    def builds(self, program, to_compile=(), to_link=(), *, link=True):
        """Return whether the compiler takes this C program."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "program.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=list(to_compile))
                if link:
                    self.compiler.link_executable(objects, "program", output_dir=folder, extra_postargs=list(to_link))
            except (CompileError, LinkError):
                return False
        return True


def page_of_an_index(repository):
    """Return README.md with links that lead somewhere from anywhere: into the repository, or none at all."""
    (version,) = re.findall(r'__version__ = "(.+)"', Path("npcnn/version.py").read_text(encoding="utf-8"))

    def lead_somewhere(link):
        picture, text, target = link.groups()
        if repository:
            return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/v{version}/{target})"
        return "" if picture else text

    # Only what leads to a file here: not to another host, nor to a heading.
    return re.sub(
        r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", lead_somewhere, Path("README.md").read_text(encoding="utf-8")
    )


if sysconfig.get_config_var("Py_GIL_DISABLED"):
    sys.exit("error: " + FREE_THREADED_HINT.format(version=sysconfig.get_python_version()))
if os.environ.get("ARCHFLAGS", "").count("-arch") > 1:
    sys.exit("error: " + ONE_ARCHITECTURE_HINT.format(flags=os.environ["ARCHFLAGS"]))
if sys.platform == "darwin" and not os.environ.get("ARCHFLAGS"):
    # Python from python.org holds two architectures, and would compile everything for both at once.
    os.environ["ARCHFLAGS"] = f"-arch {platform.machine()}"
    this_machine = sysconfig.get_platform().replace("universal2", platform.machine())
    os.environ.setdefault("_PYTHON_HOST_PLATFORM", this_machine)

repository = os.environ.get("NPCNN_REPOSITORY", "").rstrip("/")
setup(
    long_description=page_of_an_index(repository),
    long_description_content_type="text/markdown",
    project_urls={"Source": repository, "Changelog": f"{repository}/blob/HEAD/CHANGELOG.md"} if repository else {},
    options={"bdist_wheel": {"py_limited_api": LOWEST_PYTHON}},
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
