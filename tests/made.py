"""Where things are that cargo and the scripts of ``.ci`` have made, for the tests in Python."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
# Longer than anything takes on a busy machine of two cores.
PATIENCE = 600


@functools.cache
def built(package: str) -> Path:
    """A component, from the folder of the toolchain that built it last."""
    name = f"{package.replace('-', '_')}.wasm"
    found = list(TARGET.glob(f"component*/wasm32-wasip2/release/{name}"))
    assert found, f"no {name} below {TARGET}: run `cargo test --workspace --no-run`"
    return max(found, key=lambda file: file.stat().st_mtime)


@functools.cache
def plugin() -> Path:
    given = os.environ.get("AIIDA_FIRECREST_COMPONENT")
    return Path(given) if given else built("aiida-firecrest")


@functools.cache
def made(*script: str) -> Path:
    """What a script of ``.ci`` makes, or finds made."""
    output = subprocess.run([ROOT / ".ci" / script[0], *script[1:]], stdout=subprocess.PIPE, text=True, check=True)
    return Path(output.stdout.strip())
