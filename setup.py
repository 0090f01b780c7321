"""Build gradcam._core; all other settings are in pyproject.toml.

Two steps need code. The kernels are compiled once per CPU level, with that level's flags and names
(csrc/kernels/level.h); the core selects a level at run time. OpenBLAS is taken from the PyPI
package scipy-openblas32, which is installed only during the build: its library is copied into the
package, next to the extension, which finds it there ($ORIGIN). Without that package, a system
OpenBLAS is used.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

if sys.platform == "win32":
    raise SystemExit(
        "gradcam is not built for Windows: install it in WSL, the Windows Subsystem for Linux "
        "(https://learn.microsoft.com/windows/wsl)."
    )

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (ROOT / "pyproject.toml").read_text().splitlines()
    if line.startswith("version")
)
IS_MACOS = sys.platform == "darwin"
if IS_MACOS:
    # Only one architecture, even for a universal2 Python: each architecture has its own kernels.
    os.environ["ARCHFLAGS"] = os.environ.get("ARCHFLAGS") or f"-arch {platform.machine()}"
MACHINE = os.environ["ARCHFLAGS"].split()[-1] if IS_MACOS else platform.machine()
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(
    MACHINE.lower(), "other"
)

# Without -g, which Python adds: debug information would be ten times as large as the code.
C_FLAGS = ["-std=c11", "-O2", "-g0", "-Wall", "-Wextra", "-fvisibility=hidden"]
# No -ffast-math: it would make NumPy flush subnormals to zero, and NaN must remain NaN.
KERNEL_FLAGS = ["-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]


@dataclass
class Level:
    """A level of csrc/kernels/levels.h: its vectors and the compiler flags of its kernels."""

    width: int  # floats in a vector
    flags: list[str]


def levels() -> dict[str, Level]:
    """Return the levels of this architecture by name, from csrc/kernels/levels.h."""
    entry = re.compile(r'^GC_LEVEL_ENTRY\((\w+), (\w+), (\d+), "(.*)"\)$', re.MULTILINE)
    text = (ROOT / "csrc/kernels/levels.h").read_text()
    return {
        name: Level(int(width), flags.split())
        for architecture, name, width, flags in entry.findall(text)
        if architecture == ARCHITECTURE
    }


NO_OPENBLAS = """
gradcam needs OpenBLAS, which was not found. Install one of these and try again:
  - from PyPI:         pip install scipy-openblas32   (pip does this automatically if it can)
  - Debian, Ubuntu:    apt install libopenblas-dev
  - Fedora:            dnf install openblas-devel
  - macOS, Homebrew:   brew install openblas
A library in another folder is found through pkg-config (PKG_CONFIG_PATH)."""


@dataclass
class OpenBLAS:
    """How to link an OpenBLAS, and which of its files to ship with the package."""

    link: list[str]
    prefix: str = ""
    shipped: dict[str, Path] = field(default_factory=dict)  # name in the package: file
    rpath: list[str] = field(default_factory=list)


def pypi_openblas() -> OpenBLAS | None:
    """Return the OpenBLAS of the package scipy-openblas32, if it is installed."""
    try:
        import scipy_openblas32
    except ImportError:
        return None
    folder = Path(scipy_openblas32.get_lib_dir())
    library = folder / f"lib{scipy_openblas32.get_library()}{'.dylib' if IS_MACOS else '.so'}"
    licences = [
        Path(str(file.locate()))
        for file in metadata.files("scipy-openblas32") or []
        if file.name == "LICENSE.txt"
    ]
    if not library.exists() or not licences:
        return None
    origin = "@loader_path" if IS_MACOS else "$ORIGIN"
    return OpenBLAS(
        link=[f"-L{folder}", f"-l{scipy_openblas32.get_library()}"],
        prefix="scipy_",
        shipped={library.name: library, "libscipy_openblas.LICENSE.txt": licences[0]},
        rpath=[f"-Wl,-rpath,{origin}"],
    )


def system_openblas() -> OpenBLAS | None:
    """Return an OpenBLAS that pkg-config or the compiler finds."""
    try:
        found = subprocess.run(
            ["pkg-config", "--libs", "openblas"], capture_output=True, text=True, check=True
        )
        link = found.stdout.split()
        folders = [flag[2:] for flag in link if flag.startswith("-L")]
        return OpenBLAS(link=link, rpath=[f"-Wl,-rpath,{folder}" for folder in folders])
    except (OSError, subprocess.CalledProcessError):
        pass
    from ctypes.util import find_library

    library = find_library("openblas")
    if library is None:
        return None
    # A path on macOS, a file name on Linux. -lopenblas would need a link, libopenblas.so, which
    # may be missing.
    return OpenBLAS(link=[library if IS_MACOS else f"-l:{library}"])


class BuildExt(build_ext):
    """Compile the kernels for each level, and copy OpenBLAS next to the extension."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.shipped: dict[str, Path] = {}

    def finalize_options(self) -> None:
        super().finalize_options()
        # The output also depends on flags, the version and OpenBLAS, not only on the sources.
        self.force = True

    def build_extensions(self) -> None:
        self.compiler.compile = on_all_cores(self.compiler.compile)
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        blas = (
            None if os.environ.get("GRADCAM_SYSTEM_OPENBLAS") == "1" else pypi_openblas()
        ) or system_openblas()
        if blas is None:
            raise SystemExit(NO_OPENBLAS)
        ext.extra_objects = [*ext.extra_objects, *self.compile_kernels()]
        ext.extra_link_args = [*ext.extra_link_args, *blas.link, *blas.rpath, "-pthread"]
        if blas.prefix:
            ext.define_macros = [*ext.define_macros, ("GC_BLAS_PREFIX", blas.prefix)]
        super().build_extension(ext)
        self.shipped = blas.shipped
        self.ship(Path(self.get_ext_fullpath(ext.name)).parent)

    def copy_extensions_to_source(self) -> None:
        """Copy the library next to the extension in an editable install, too."""
        super().copy_extensions_to_source()
        self.ship(ROOT / "gradcam")

    def get_outputs(self) -> list[str]:
        folder = Path(self.build_lib, "gradcam")
        return [*super().get_outputs(), *(str(folder / name) for name in self.shipped)]

    def get_output_mapping(self) -> dict[str, str]:
        """Return the path in the source tree of each built file, for editable installs."""
        folder = Path(self.build_lib, "gradcam")
        shipped = {str(folder / name): str(Path("gradcam", name)) for name in self.shipped}
        return {**super().get_output_mapping(), **(shipped if self.inplace else {})}

    def ship(self, folder: Path) -> None:
        for name, file in self.shipped.items():
            # Replaced by renaming, because another process may have mapped the old file.
            shutil.copyfile(file, folder / f"{name}.new")
            os.replace(folder / f"{name}.new", folder / name)

    def compile_kernels(self) -> list[str]:
        """Compile the kernels for all levels, and the dispatch; return the object files."""
        objects = []
        for name, level in levels().items():
            objects += self.compiler.compile(
                [
                    str(path)
                    for path in sorted(Path("csrc/kernels").glob("*.c"))
                    if path.name != "dispatch.c"
                ],
                output_dir=str(Path(self.build_temp) / name),
                macros=[("GC_LEVEL", name), ("GC_LEVEL_WIDTH", str(level.width))],
                include_dirs=["csrc"],
                extra_postargs=[*C_FLAGS, *KERNEL_FLAGS, *level.flags],
            )
        objects += self.compiler.compile(
            ["csrc/kernels/dispatch.c", "csrc/kernels/reference/reference.c"],
            output_dir=self.build_temp,
            include_dirs=["csrc"],
            extra_postargs=C_FLAGS,
        )
        return objects


def on_all_cores(compile: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """Return a compile function of a compiler that compiles several files at a time."""

    def compile_all(sources: list[str], *args: object, **options: object) -> list[str]:
        workers = int(os.environ.get("GRADCAM_BUILD_JOBS") or os.cpu_count() or 1)
        with ThreadPoolExecutor(workers) as pool:
            made = pool.map(lambda source: compile([source], *args, **options), sources)
            return [each for objects in made for each in objects]

    return compile_all


class BuildPy(build_py):
    """Copy the notebooks into the package, from where `gradcam notebooks` copies them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # they are found in the checkout
        folder = Path(self.build_lib, "gradcam", "_notebooks")
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
            shutil.copyfile(path, folder / path.name)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        folder = Path(self.build_lib, "gradcam", "_notebooks")
        notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
        copied = [] if self.editable_mode else [str(folder / path.name) for path in notebooks]
        return [*super().get_outputs(include_bytecode), *copied]


def sources() -> list[str]:
    folders = ("base", "layers", "network", "python")
    return [str(p) for name in folders for p in sorted(Path("csrc", name).glob("*.c"))]


setup(
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
    ext_modules=[
        Extension(
            "gradcam._core",
            sources=sources(),
            include_dirs=["csrc", numpy.get_include()],
            depends=[str(path) for path in sorted(Path("csrc").rglob("*.[ch]"))],
            define_macros=[
                ("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION"),
                ("NPY_TARGET_VERSION", "NPY_2_0_API_VERSION"),
                ("GC_VERSION", f'"{VERSION}"'),
            ],
            extra_compile_args=C_FLAGS,
        )
    ],
)
