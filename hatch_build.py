"""Build the optional extension of the ISO 8583 codec where Cython and a C compiler are; else the package is pure Python.

SHANRAQ_PURE=1 leaves it out. What goes wrong is said in one line, and never stops an installation.
"""

from __future__ import annotations

import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULE = "shanraq.standards.iso8583._speed"


class CustomBuildHook(BuildHookInterface):
    """Compile in place; a wheel with the extension is one of its platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling to take the result along."""
        source = Path(self.root, "src", *MODULE.split(".")).with_suffix(".pyx")
        built = source.with_name(source.stem + sysconfig.get_config_var("EXT_SUFFIX"))
        built.unlink(missing_ok=True)  # that of an older source must not be used with this one
        if os.environ.get("SHANRAQ_PURE") == "1":
            return
        try:
            _compile(source, Path(self.root, "src"))
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self.app.display_warning(f"shanraq is installed without its extension, which could not be built ({reason})")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"/{built.relative_to(self.root).as_posix()}")


def _compile(source: Path, into: Path) -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    with tempfile.TemporaryDirectory() as scratch:
        arguments = ["-g0"] if os.name == "posix" else []  # half the file would be for debuggers
        extension = Extension(MODULE, [str(source)], extra_compile_args=arguments)
        modules = cythonize([extension], build_dir=scratch, quiet=True, language_level=3)
        command: Any = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(into), scratch
        command.ensure_finalized()
        command.run()
