"""What is published, through an OCI registry: ``wkg`` pushes and fetches the component and the contract, byte by byte the same.

    python3 tests/dist/test_registry.py

The registry is Debian's ``docker-registry``, started here on a free port of this machine and ended here. Needs what ``cargo test`` has built; the
tools it gets itself (``.ci/apt``, ``.ci/tool``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from made import PATIENCE, ROOT, TARGET, made, plugin  # noqa: E402

VERSION = "0.1.0"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


class Registry:
    """A registry of its own, with a folder for its store."""

    def __init__(self, folder: Path):
        self.store = folder / "store"
        config = folder / "registry.yml"
        # The port is free now; if somebody else takes it meanwhile, another one is tried.
        for _ in range(5):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.host = f"127.0.0.1:{free.getsockname()[1]}"
            # JSON is YAML.
            config.write_text(
                json.dumps({"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(self.store)}}, "http": {"addr": self.host}})
            )
            with (folder / "registry.log").open("wb") as log:
                self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
            if self._answers():
                return
        raise AssertionError((folder / "registry.log").read_text())

    def _answers(self) -> bool:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get("")
                return True
            except OSError:
                time.sleep(0.05)
        return False

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": MANIFEST})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def manifest(self, name: str, tag: str) -> dict[str, Any]:
        return json.loads(self.get(f"{name}/manifests/{tag}"))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)


class Published(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        subprocess.run([ROOT / ".ci" / "apt", "docker-registry", "docker-registry"], check=True)
        cls.wkg = made("tool", "wkg")
        cls.folder = Path(tempfile.mkdtemp(prefix="registry-")).resolve()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.registry = Registry(cls.folder)
        cls.addClassCleanup(cls.registry.close)
        cls.dist = cls.folder / "dist"
        cls.make(cls.dist)
        cls.component = cls.dist / f"aiida-firecrest-{VERSION}.wasm"
        cls.contract = cls.dist / f"aiida-hpc-{VERSION}.wasm"

    @staticmethod
    def make(folder: Path) -> None:
        subprocess.run([TARGET / "debug" / "examples" / "dist", plugin(), folder], cwd=folder.parent, check=True)

    def run_wkg(self, *words: Any) -> subprocess.CompletedProcess[str]:
        # Nothing of this machine's user: no credentials, no configuration, no cache.
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "WKG_OCI_INSECURE": self.registry.host}
        return subprocess.run([self.wkg, *words], env=environment, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE)

    def succeeds(self, *words: Any) -> str:
        done = self.run_wkg(*words)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def push(self, name: str, **annotations: str) -> str:
        reference = f"{self.registry.host}/aiida/{name}:{VERSION}"
        words = [word for key, text in annotations.items() for word in ("--annotation", f"org.opencontainers.image.{key}={text}")]
        self.succeeds("oci", "push", *words, reference, self.component)
        return reference

    def test_the_same_sources_give_the_same_bytes(self) -> None:
        again = self.folder / "elsewhere" / "dist"
        again.parent.mkdir()
        self.make(again)
        for file in sorted(self.dist.iterdir()):
            self.assertEqual(sha256(file), sha256(again / file.name), file.name)
        subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=self.dist, check=True)

    def test_the_component_comes_back_byte_by_byte(self) -> None:
        reference = self.push("firecrest")
        fetched = self.folder / "fetched.wasm"
        self.succeeds("oci", "pull", reference, "-o", fetched)
        self.assertEqual(sha256(fetched), sha256(self.component))
        # By its digest, too, which names these bytes and no others.
        manifest = self.registry.get(f"aiida/firecrest/manifests/{VERSION}")
        digest = hashlib.sha256(manifest).hexdigest()
        pinned = self.folder / "pinned.wasm"
        self.succeeds("oci", "pull", f"{self.registry.host}/aiida/firecrest@sha256:{digest}", "-o", pinned)
        self.assertEqual(sha256(pinned), sha256(self.component))
        # It is a plugin for whoever fetched it.
        command = [TARGET / "debug" / "aiida-firecrest", "--plugin", fetched, "plugin", "inspect", fetched]
        inspected = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(inspected.returncode, 0, inspected.stderr)
        self.assertIn("aiida:hpc", inspected.stdout)
        self.assertIn(sha256(self.component), inspected.stdout)

    def test_the_registry_tells_what_it_is(self) -> None:
        told = {"version": VERSION, "licenses": "MIT OR Apache-2.0"}
        self.push("described", **told)
        manifest = self.registry.manifest("aiida/described", VERSION)
        self.assertEqual(manifest["annotations"], {f"org.opencontainers.image.{key}": text for key, text in told.items()})
        # Its outside can be read without fetching it.
        outside = json.loads(self.registry.get(f"aiida/described/blobs/{manifest['config']['digest']}"))["component"]
        self.assertEqual(outside["exports"], [f"aiida:hpc/{name}@{VERSION}" for name in ("configuration", "transport", "scheduler")])
        self.assertIn("wasi:http/outgoing-handler@0.2.12", outside["imports"])

    def test_bytes_that_were_changed_in_the_store_are_not_taken(self) -> None:
        reference = self.push("changed")
        [layer] = self.registry.manifest("aiida/changed", VERSION)["layers"]
        digest = layer["digest"].removeprefix("sha256:")
        blob = self.registry.store / "docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
        content = blob.read_bytes()
        self.addCleanup(blob.write_bytes, content)
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        fetched = self.folder / "changed.wasm"
        self.assertNotEqual(self.run_wkg("oci", "pull", reference, "-o", fetched).returncode, 0)
        self.assertFalse(fetched.exists() and fetched.stat().st_size)

    def test_the_contract_is_a_package_by_its_name(self) -> None:
        config = self.folder / "wkg.toml"
        inline = '{ registry = "local", metadata = { preferredProtocol = "oci", oci = { registry = "%s", namespacePrefix = "wit/" } } }'
        config.write_text(
            f'[namespace_registries]\naiida = {inline % self.registry.host}\n[registry."local".oci]\nprotocol = "http"\n'
        )
        self.succeeds("publish", "--config", config, self.contract)
        fetched = self.folder / "contract.wasm"
        self.succeeds("get", "--config", config, "--cache", self.folder / "cache", f"aiida:hpc@{VERSION}", "--format", "wasm", "-o", fetched)
        self.assertEqual(sha256(fetched), sha256(self.contract))
        text = self.folder / "contract.wit"
        self.succeeds("get", "--config", config, "--cache", self.folder / "cache", f"aiida:hpc@{VERSION}", "--format", "wit", "-o", text)
        wit = text.read_text()
        for word in (f"package aiida:hpc@{VERSION};", "interface transport", "interface scheduler", "world plugin"):
            self.assertIn(word, wit)
        unknown = self.run_wkg("get", "--config", config, "--cache", self.folder / "cache", "aiida:hpc@9.9.9", "-o", fetched)
        self.assertNotEqual(unknown.returncode, 0)


if __name__ == "__main__":
    unittest.main()
