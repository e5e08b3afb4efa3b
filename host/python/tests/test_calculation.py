"""Calculations through AiiDA's engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiida import engine, orm
from aiida.common import CalcInfo, CodeInfo
from aiida.parsers import Parser


@pytest.fixture
def code(computer: orm.Computer) -> orm.InstalledCode:
    return orm.InstalledCode(
        label="sh", computer=computer, filepath_executable="/bin/sh", default_calc_job_plugin="core.arithmetic.add"
    ).store()


def options(settings: dict[str, Any]) -> dict[str, Any]:
    commands = settings.get("builder_metadata_options_custom_scheduler_commands") or []
    return {
        "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1},
        "max_wallclock_seconds": 120,
        "custom_scheduler_commands": "\n".join(commands),
    }


def test_one_addition(code, settings):
    builder = code.get_builder()
    builder.x, builder.y = orm.Int(1), orm.Int(2)
    builder.metadata.options = options(settings)
    results, node = engine.run_get_node(builder)
    assert node.is_finished_ok, node.exit_status
    assert results["sum"].value == 3
    assert node.get_detailed_job_info()["retval"] == 0


class ManyFiles(engine.CalcJob):
    """Writes folders of files, copies and links some that are on the cluster already, and retrieves by pattern and depth."""

    @classmethod
    def define(cls, spec: Any) -> None:
        super().define(spec)
        spec.inputs["metadata"]["options"]["parser_name"].default = "test.nothing"
        spec.input("source", valid_type=orm.RemoteData)

    def prepare_for_submission(self, folder: Any) -> CalcInfo:
        for name in ("top.txt", "one/a/b.txt", "one/a/c.txt", "one/a/c.in", "one/c.txt", "two/x", "two/y/z", "two/y/empty"):
            path = Path(folder.abspath, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("" if name.endswith("empty") else name)
        code = CodeInfo()
        code.code_uuid = self.inputs.code.uuid
        code.cmdline_params = ["-c", "cat two/copied.txt two/folder/deep/er.txt linked.txt > joined.txt; mkdir -p out/é; echo x > out/é/y.dat"]
        info = CalcInfo()
        info.codes_info = [code]
        source, uuid = self.inputs.source.get_remote_path(), self.inputs.source.computer.uuid
        info.remote_copy_list = [
            (uuid, f"{source}/copied.txt", "two/copied.txt"),
            (uuid, f"{source}/folder", "two/folder"),
            (uuid, f"{source}/*.dat", "."),
        ]
        info.remote_symlink_list = [(uuid, f"{source}/linked.txt", "linked.txt")]
        info.retrieve_list = [
            "joined.txt", ("one/*/*.txt", ".", 99), ("two", ".", 99), ("out/*/*.dat", ".", 0), "p.dat", "q.dat", "not-there",
        ]  # fmt: skip
        info.retrieve_temporary_list = ["top.txt"]
        return info


class Nothing(Parser):
    """Parses nothing."""

    def parse(self, **kwargs: Any) -> None:
        assert (Path(kwargs["retrieved_temporary_folder"]) / "top.txt").read_text() == "top.txt"


def test_many_files(code, settings, transport, remote, tmp_path, entry_points, computer):
    entry_points.add(ManyFiles, "aiida.calculations:test.many")
    entry_points.add(Nothing, "aiida.parsers:test.nothing")
    local = tmp_path / "source"
    (local / "folder" / "deep").mkdir(parents=True)
    (local / "folder" / "deep" / "er.txt").write_text("folder\n")
    for name in ("copied.txt", "linked.txt", "p.dat", "q.dat"):
        (local / name).write_text(f"{name}\n")
    transport.puttree(str(local), f"{remote}/source")
    source = orm.RemoteData(remote_path=f"{remote}/source", computer=computer).store()
    _, node = engine.run_get_node(ManyFiles, code=code, source=source, metadata={"options": options(settings)})
    assert node.is_finished_ok, (node.exit_status, node.exception)
    retrieved = node.outputs.retrieved.base.repository
    files = sorted(str(path) for path in retrieved.glob() if retrieved.get_object(path).is_file())
    assert files == [
        "_scheduler-stderr.txt", "_scheduler-stdout.txt", "joined.txt", "one/a/b.txt", "one/a/c.txt", "p.dat", "q.dat",
        "two/copied.txt", "two/folder/deep/er.txt", "two/x", "two/y/empty", "two/y/z", "y.dat",
    ]  # fmt: skip
    assert retrieved.get_object_content("joined.txt") == "copied.txt\nfolder\nlinked.txt\n"
    assert retrieved.get_object_content("two/y/z") == "two/y/z"
    left = node.outputs.remote_folder
    assert "joined.txt" in left.listdir()
    assert {one["name"]: one["isdir"] for one in left.listdir_withattributes()}["two"]
    left.getfile("joined.txt", str(tmp_path / "joined.txt"))
    assert (tmp_path / "joined.txt").read_text() == "copied.txt\nfolder\nlinked.txt\n"
    assert not left.is_empty
    left._clean()
    assert left.is_empty


def test_a_job_that_fails_is_seen_to_fail(code, settings):
    builder = code.get_builder()
    builder.x, builder.y = orm.Int(1), orm.Int(2)
    builder.metadata.options = {**options(settings), "prepend_text": "exit 7"}
    _, node = engine.run_get_node(builder)
    assert not node.is_finished_ok
    assert node.get_last_job_info().exit_status == 7
    assert "|FAILED|" in node.get_detailed_job_info()["stdout"]


def test_a_hundred_calculations_at_once(code, settings):
    """In one process, as one daemon worker runs them."""
    from aiida.manage import get_manager

    runner = get_manager().get_runner()
    nodes = []
    for number in range(100):
        builder = code.get_builder()
        builder.x, builder.y = orm.Int(number), orm.Int(1000)
        builder.metadata.options = options(settings)
        nodes.append(runner.schedule(builder))

    async def all_done() -> None:
        while not all(node.is_terminated for node in nodes):
            await asyncio.sleep(0.2)

    runner.loop.run_until_complete(asyncio.wait_for(all_done(), timeout=900))
    assert [node.exit_status for node in nodes] == [0] * 100
    assert [node.outputs.sum.value for node in nodes] == [number + 1000 for number in range(100)]
    ids = [node.get_job_id() for node in nodes]
    assert len(set(ids)) == 100
