"""``verdi``, as a person types it: in a terminal, in a process of its own, with a home and a profile of its own."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, Optional

import pexpect
import pytest

VERDI = str(Path(sys.executable).with_name("verdi"))
PATIENCE = 120


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home with a profile: SQLite, and no broker."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "HOME": str(home), "AIIDA_PATH": str(home), "TERM": "dumb", "COLUMNS": "200", "NO_COLOR": "1", "EDITOR": "true"}
    environment.pop("AIIDA_PROFILE", None)
    # AiiDA 2.9 asks which broker; before, none was what one had to do without.
    known = subprocess.check_output([VERDI, "profile", "setup", "core.sqlite_dos", "--help"], env=environment, text=True)
    more = ["--broker", "none"] if "--broker" in known else []
    subprocess.run(
        [VERDI, "profile", "setup", "core.sqlite_dos", "-n", "-p", "test", "--email", "a@b.c", "--first-name", "A", "--last-name", "B",
         "--institution", "C", "--set-as-default", *more],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    return environment


@pytest.fixture
def verdi(environment):
    """Runs verdi to its end; its status and all that it said."""

    def run(*arguments: str, status: int = 0) -> str:
        done = subprocess.run([VERDI, *arguments], env=environment, text=True, capture_output=True, timeout=PATIENCE)
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        return said

    return run


class Dialogue:
    """verdi in a terminal."""

    def __init__(self, environment: dict[str, str], *arguments: str):
        self.child = pexpect.spawn(VERDI, list(arguments), env=environment, encoding="utf-8", timeout=PATIENCE, dimensions=(50, 300))

    def answer(self, question: str, text: str, default: Optional[str] = None) -> None:
        """Waits for the question, with this default where one is given, and answers it."""
        self.child.expect_exact(question)
        # The question is in colour, its default is not.
        self.child.expect(": " if default is None else re.escape(f" [{default}]: "))
        assert default is None or re.fullmatch(r"(\x1b\[0m)?", self.child.before), self.child.before
        self.child.sendline(text)

    def end(self, status: int = 0) -> str:
        self.child.expect(pexpect.EOF)
        said = self.child.before
        self.child.close()
        assert self.child.exitstatus == status, said
        return said


@pytest.fixture
def label(environment, verdi, work_directory):
    """A computer, set up and not configured."""
    label = f"firecrest-{uuid.uuid4().hex[:8]}"
    verdi(
        "computer", "setup", "-n", "--label", label, "--hostname", "unused", "--transport", "firecrest", "--scheduler", "firecrest",
        "--work-dir", f"{work_directory}/{label}", "--mpiprocs-per-machine", "1",
    )  # fmt: skip
    return label


@pytest.fixture
def temp_directory(transport, work_directory):
    folder = f"{work_directory}/aiida-firecrest-temp-{uuid.uuid4().hex[:12]}"
    yield folder
    transport.rmtree(folder)


def secret(settings: dict[str, Any]) -> str:
    given = settings["client_secret"]
    return Path(given).read_text().strip() if os.path.isabs(given) else given


def test_the_plugins_are_listed_with_their_help(verdi):
    said = verdi("plugin", "list", "aiida.transports", "firecrest")
    assert "A plugin to connect to a FirecREST server." in said
    assert "It must be used together with the 'firecrest' scheduler plugin." in said
    for name in ("url", "token_uri", "client_id", "client_secret", "compute_resource", "billing_account", "temp_directory",
                 "max_io_allowed", "checksum_check", "api_version", "small_file_size_mb"):  # fmt: skip
        assert f"  {name}: " in said
    said = verdi("plugin", "list", "aiida.schedulers", "firecrest")
    assert "It must be used together with the 'firecrest' transport plugin." in said


def test_a_computer_from_its_setup_to_its_end(environment, verdi, transport, settings, work_directory, temp_directory):
    label = f"firecrest-{uuid.uuid4().hex[:8]}"
    setup = Dialogue(environment, "computer", "setup")
    for question, text in (
        ("Computer label", label), ("Hostname", "unused"), ("Description", "My FirecREST client plugin"), ("Transport plugin", "firecrest"),
        ("Scheduler plugin", "firecrest"), ("Shebang line", ""), ("Work directory", f"{work_directory}/{label}"), ("Mpirun command", ""),
        ("Default number of CPUs per machine", "1"), ("Default amount of memory per machine", "100000"),
        ("Escape CLI arguments in double quotes", ""),
    ):  # fmt: skip
        setup.answer(question, text)
    # Then an editor for the prepend and append texts: `true`, which changes nothing.
    assert "created" in setup.end()

    configure = Dialogue(environment, "computer", "configure", "firecrest", label)
    for asked in (
        ("Server URL", settings["url"]),
        ("Token URI", settings["token_uri"]),
        ("Client ID", settings["client_id"]),
        ("Client Secret", secret(settings)),
        ("Compute resource (Machine)", settings["compute_resource"]),
        ("Billing account for time consuming operations", settings.get("billing_account") or "none"),
        ("Temp directory on server", temp_directory),
        ("Maximum number of concurrent I/O operations", "", "8"),
        ("Whether to validate checksum for each file transferred. Note: This can slow down the Transport plugin.", "", "False"),
        ("FirecREST api version [Enter 0 to get this info from server]", "0", "0"),
        ("Maximum file size for direct transfer (MB) [Enter 0 to get this info from server]", "0", "0.0"),
    ):
        configure.answer(*asked)
    configure.child.expect_exact("Maximum file size for direct transfer: ")
    said = configure.end()
    assert f"{label} successfully configured" in said

    shown = verdi("computer", "configure", "show", label)
    for name in ("url", "client_id", "compute_resource"):
        assert settings[name] in shown
    assert secret(settings) not in shown
    stored = Path(next(line.split()[-1] for line in shown.splitlines() if "client_secret" in line))
    assert stored.parent == Path(environment["HOME"], ".firecrest")
    assert stored.read_text() == secret(settings)
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert transport.isdir(temp_directory)

    assert "firecrest" in verdi("computer", "show", label)
    said = verdi("computer", "test", label)
    assert "all 6 tests succeeded" in said or "tests succeeded" in said, said
    assert "[Failed]" not in said and "Warning" not in said, said
    assert "deleted" in verdi("computer", "delete", label)
    verdi("computer", "show", label, status=2)
    transport.rmtree(f"{work_directory}/{label}")


def test_a_computer_from_files(environment, verdi, settings, transport, work_directory, temp_directory, tmp_path):
    label = f"firecrest-{uuid.uuid4().hex[:8]}"
    (tmp_path / "secret").write_text(secret(settings) + "\n")
    (tmp_path / "secret").chmod(0o600)
    computer = {
        "label": label, "hostname": "unused", "transport": "firecrest", "scheduler": "firecrest", "work_dir": f"{work_directory}/{label}",
        "mpiprocs_per_machine": 1,
    }  # fmt: skip
    # A file of aiida-firecrest's tests, as it is.
    auth = {
        **{name: settings[name] for name in ("url", "token_uri", "client_id", "compute_resource")},
        "client_secret": str(tmp_path / "secret"), "temp_directory": temp_directory, "billing_account": settings.get("billing_account") or "none",
    }  # fmt: skip
    (tmp_path / "computer.yml").write_text(json.dumps(computer))
    (tmp_path / "auth.yml").write_text(json.dumps(auth))
    verdi("computer", "setup", "-n", "--config", str(tmp_path / "computer.yml"))
    said = verdi("computer", "configure", "firecrest", label, "-n", "--config", str(tmp_path / "auth.yml"))
    assert "successfully configured" in said
    assert str(tmp_path / "secret") in verdi("computer", "configure", "show", label)
    verdi("computer", "test", label)
    transport.rmtree(f"{work_directory}/{label}")


def options(settings: dict[str, Any], folder: str, **more: str) -> list[str]:
    given = {
        "temp-directory": folder,
        "billing-account": settings.get("billing_account") or "none",
        "url": settings["url"],
        "token-uri": settings["token_uri"],
        "client-id": settings["client_id"],
        "client-secret": secret(settings),
        "compute-resource": settings["compute_resource"],
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    return [text for name, value in given.items() for text in (f"--{name}", value)]


def test_wrong_answers_are_named(environment, label, settings, temp_directory, tmp_path):
    def refused(**more: str) -> str:
        given = options(settings, temp_directory, **more)
        # The temporary directory last, where all that is needed to look at it is known.
        given = given[2:] + given[:2]
        done = subprocess.run([VERDI, "computer", "configure", "firecrest", label, "-n", *given], env=environment, text=True, capture_output=True)
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert "Traceback" not in said and "panicked" not in said and secret(settings) not in said, said
        return said

    assert "Secret file not found" in refused(client_secret="/no/such/file")
    assert "token" in refused(client_secret="wrong").lower()
    assert "no-such-system" in refused(compute_resource="no-such-system")
    assert "http" in refused(url="nonsense")
    assert "127.0.0.1:9" in refused(url="http://127.0.0.1:9", token_uri="http://127.0.0.1:9/token")
    assert "absolute" in refused(temp_directory="relative")
    assert "0 is not a whole number from 1 to 1000" in refused(max_io_allowed="0")
    assert "api_version" in refused(api_version="new")
    assert "1.16.0" in refused(api_version="1.16.0")


def test_a_temporary_directory_with_something_in_it_is_asked_about(environment, label, settings, transport, temp_directory, tmp_path):
    transport.makedirs(f"{temp_directory}/old")
    given = options(settings, temp_directory)
    rest = [*given[2:], "--max-io-allowed", "4", "--checksum-check", "true", "--api-version", "0", "--small-file-size-mb", "0"]
    dialogue = Dialogue(environment, "computer", "configure", "firecrest", label, *rest)
    dialogue.answer("Temp directory on server", temp_directory)
    dialogue.child.expect_exact("is not empty. Do you want to flush it? [y/N]")
    dialogue.child.sendline("n")
    dialogue.answer("Temp directory on server", temp_directory)
    dialogue.child.expect_exact("is not empty. Do you want to flush it? [y/N]")
    dialogue.child.sendline("y")
    assert "successfully configured" in dialogue.end()
    assert transport.listdir(temp_directory) == []


def test_help_is_given_in_the_dialogue(environment, label):
    dialogue = Dialogue(environment, "computer", "configure", "firecrest", label)
    dialogue.answer("Server URL", "?")
    dialogue.child.expect_exact("URL to the FirecREST server")
    dialogue.child.sendcontrol("c")
    dialogue.child.expect(pexpect.EOF)


def test_the_questions_are_those_of_aiida_firecrest():
    from aiida_firecrest_wasm.transport import FirecrestTransport

    asked = FirecrestTransport.auth_options
    assert list(asked)[:9] == [
        "url", "token_uri", "client_id", "client_secret", "compute_resource", "billing_account", "temp_directory", "max_io_allowed",
        "checksum_check",
    ]  # fmt: skip
    assert asked["max_io_allowed"]["default"] == 8
    assert asked["checksum_check"]["default"] is False
    assert "access_token" not in asked
    for name in asked:
        if asked[name].get("prompt_fn") is None:
            assert f"{name}: " in (FirecrestTransport.__doc__ or "")
    assert set(FirecrestTransport.get_valid_auth_params()) == set(asked)
