"""What AiiDA expects of every transport, on this one."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from pathlib import Path

import pytest


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "local"
    folder.mkdir()
    for name in ("a.txt", "b.tmp", "c.txt"):
        (folder / name).write_text(f"{name}\n")
    return folder


def test_it_is_open_between_open_and_close(make_transport):
    from aiida.common.exceptions import InvalidOperation

    transport = make_transport()
    assert not transport.is_open
    with transport:
        assert transport.is_open
        with transport:
            assert transport.is_open
        assert transport.is_open
        with pytest.raises(InvalidOperation):
            transport.open()
    assert not transport.is_open
    with pytest.raises(InvalidOperation):
        transport.close()
    assert str(transport) == "FirecrestTransport"


def test_a_second_transport_costs_no_token_and_no_status(make_transport, requests_of):
    make_transport().whoami()
    assert len(requests_of(lambda: make_transport().open())) == 0


def test_directories(transport, remote):
    transport.mkdir(Path(remote) / "one")
    assert transport.isdir(f"{remote}/one")
    assert not transport.isfile(f"{remote}/one")
    with pytest.raises(OSError):
        transport.mkdir(f"{remote}/one")
    with pytest.raises(OSError):
        transport.makedirs(f"{remote}/one")
    with pytest.raises(FileNotFoundError):
        transport.mkdir(f"{remote}/two/three")
    transport.makedirs(f"{remote}/two/three")
    transport.mkdir(f"{remote}/one", ignore_existing=True)
    transport.makedirs(f"{remote}/two/three", ignore_existing=True)
    assert sorted(transport.listdir(remote)) == ["one", "two"]


def test_removal(transport, remote, files):
    transport.puttree(str(files), f"{remote}/d")
    with pytest.raises(OSError):
        transport.rmdir(f"{remote}/d")
    with pytest.raises(OSError):
        transport.remove(f"{remote}/d")
    with pytest.raises(OSError):
        transport.rmdir(f"{remote}/d/a.txt")
    with pytest.raises(FileNotFoundError):
        transport.remove(f"{remote}/d/missing")
    transport.remove(f"{remote}/d/a.txt")
    assert sorted(transport.listdir(f"{remote}/d")) == ["b.tmp", "c.txt"]
    transport.mkdir(f"{remote}/empty")
    transport.rmdir(f"{remote}/empty")
    transport.rmtree(f"{remote}/d")
    transport.rmtree(f"{remote}/d")
    assert transport.listdir(remote) == []


def test_what_is_there_and_what_is_not(transport, remote, files):
    transport.putfile(str(files / "a.txt"), f"{remote}/a.txt")
    assert transport.isfile(f"{remote}/a.txt")
    assert transport.path_exists(f"{remote}/a.txt")
    for path in ("", f"{remote}/missing", f"{remote}/a.txt/below"):
        assert not transport.isfile(path)
        assert not transport.isdir(path)
        assert not transport.path_exists(path)


def test_listing(transport, remote, tmp_path):
    (tmp_path / "empty").touch()
    for name in ("1", "-f a&", "as", "a2", "a4f", ".hidden"):
        transport.mkdir(f"{remote}/{name}")
    for name in ("a", "b"):
        transport.putfile(str(tmp_path / "empty"), f"{remote}/{name}")
    assert sorted(transport.listdir(remote)) == sorted(["1", "-f a&", "as", "a2", "a4f", ".hidden", "a", "b"])
    assert sorted(transport.listdir(remote, "a*")) == ["a", "a2", "a4f", "as"]
    assert sorted(transport.listdir(remote, "a?")) == ["a2", "as"]
    assert sorted(transport.listdir(remote, "a[2-4]*")) == ["a2", "a4f"]
    with pytest.raises(OSError):
        transport.listdir(f"{remote}/missing")
    with pytest.raises(OSError):
        transport.listdir(f"{remote}/a")


def test_a_listing_with_attributes_tells_what_a_look_would(transport, remote, files, requests_of):
    transport.puttree(str(files), f"{remote}/d")
    transport.mkdir(f"{remote}/d/sub")
    transport.symlink(f"{remote}/d/sub", f"{remote}/d/to-sub")
    transport.symlink(f"{remote}/d/nowhere", f"{remote}/d/dangling")
    listed = {one["name"]: one for one in transport.listdir_withattributes(f"{remote}/d")}
    assert {name: one["isdir"] for name, one in listed.items()} == {
        "a.txt": False, "b.tmp": False, "c.txt": False, "sub": True, "to-sub": True, "dangling": False,
    }  # fmt: skip
    for name in ("a.txt", "sub", "to-sub"):
        looked = transport.get_attribute(f"{remote}/d/{name}")
        for field in ("st_size", "st_uid", "st_gid", "st_mode", "st_mtime"):
            assert listed[name]["attributes"][field] == looked[field], (name, field)
    assert [one["name"] for one in transport.listdir_withattributes(f"{remote}/d", "a*")] == ["a.txt"]
    transport.mkdir(f"{remote}/many")
    made = requests_of(lambda: transport.listdir_withattributes(f"{remote}/many"))
    assert len(made) == 1


def test_permissions(transport, remote, files):
    path = f"{remote}/d"
    transport.mkdir(path)
    for mode in (0o777, 0o511, 0o700):
        transport.chmod(path, mode)
        assert transport.get_mode(path) == mode
    for missing in ("", f"{remote}/missing"):
        with pytest.raises(OSError):
            transport.chmod(missing, 0o777)
    with pytest.raises(TypeError):
        transport.chmod(path, "0777")
    with pytest.raises(ValueError):
        transport.chmod(path, 0o17777)


def test_ownership_stays_with_its_owner(transport, remote):
    found = transport.get_attribute(remote)
    try:
        transport.chown(remote, found.st_uid, found.st_gid)
    except PermissionError:
        pass
    with pytest.raises(OSError):
        transport.chown(f"{remote}/missing", found.st_uid, found.st_gid)


def test_an_executable_stays_one_and_a_private_file_costs_nothing_extra(transport, remote, files, requests_of):
    script = files / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    transport.put(str(script), f"{remote}/run.sh")
    assert transport.get_mode(f"{remote}/run.sh") == 0o755
    transport.get(f"{remote}/run.sh", str(files / "back.sh"))
    assert stat.S_IMODE((files / "back.sh").stat().st_mode) == 0o755
    private = files / "private"
    private.write_text("x")
    private.chmod(0o600)
    assert len(requests_of(lambda: transport.put(str(private), f"{remote}/private"))) == 1


def test_files_there_and_back(transport, remote, files, tmp_path):
    for name, data in {"text": b"Viva Verdi\n", "empty": b"", "binary": bytes(range(256)) * 1000, "Größe α & Ω": b"\0"}.items():
        local, back = files / name, tmp_path / f"back-{name}"
        local.write_bytes(data)
        transport.putfile(local, f"{remote}/{name}")
        transport.getfile(f"{remote}/{name}", back)
        assert back.read_bytes() == data
        transport.put(local, f"{remote}/{name}")
        transport.get(f"{remote}/{name}", back)
        assert back.read_bytes() == data
    assert sorted(transport.listdir(remote)) == sorted(["text", "empty", "binary", "Größe α & Ω"])


def test_large_files_there_and_back(transport, remote, tmp_path):
    local, back = tmp_path / "large", tmp_path / "back"
    local.write_bytes(os.urandom(4_300_000))
    transport.putfile(local, f"{remote}/large")
    transport.getfile(f"{remote}/large", back)
    assert back.read_bytes() == local.read_bytes()


def test_checksums_are_compared_where_that_is_wanted(make_transport, remote, files, requests_of):
    transport = make_transport(checksum_check=True)
    made = requests_of(lambda: transport.putfile(files / "a.txt", f"{remote}/a.txt"))
    assert any(one.endswith("/checksum") for one in made), made


@pytest.mark.parametrize("method", ["put", "putfile", "puttree"])
def test_bad_arguments_to_the_cluster(transport, remote, files, tmp_path, method):
    put = getattr(transport, method)
    for relative in ("", "file.txt"):
        with pytest.raises(ValueError):
            put(relative, f"{remote}/x")
    with pytest.raises(OSError):
        put(str(tmp_path / "missing"), f"{remote}/x")
    with pytest.raises(OSError):
        put(str(files), "")
    assert transport.listdir(remote) == []


@pytest.mark.parametrize("method", ["get", "getfile", "gettree"])
def test_bad_arguments_from_the_cluster(transport, remote, tmp_path, method):
    get = getattr(transport, method)
    for relative in ("", "file.txt"):
        with pytest.raises(ValueError):
            get(f"{remote}/x", relative)
    with pytest.raises(OSError):
        get("", str(tmp_path / "x"))
    with pytest.raises(OSError):
        get(f"{remote}/missing", str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_files_and_folders_are_not_taken_for_each_other(transport, remote, files, tmp_path):
    transport.puttree(str(files), f"{remote}/d")
    transport.putfile(str(files / "a.txt"), f"{remote}/f")
    with pytest.raises(ValueError):
        transport.putfile(str(files), f"{remote}/x")
    with pytest.raises(ValueError):
        transport.puttree(str(files / "a.txt"), f"{remote}/x")
    with pytest.raises(OSError):
        transport.putfile(str(files / "a.txt"), f"{remote}/d")
    with pytest.raises(OSError):
        transport.puttree(str(files), f"{remote}/f")
    with pytest.raises(OSError):
        transport.getfile(f"{remote}/d", str(tmp_path / "x"))
    with pytest.raises(OSError):
        transport.gettree(f"{remote}/f", str(tmp_path / "x"))
    with pytest.raises(OSError):
        transport.getfile(f"{remote}/f", str(files))
    with pytest.raises(OSError):
        transport.gettree(f"{remote}/d", str(files / "a.txt"))
    assert transport.isfile(f"{remote}/f")
    assert (files / "a.txt").read_text() == "a.txt\n"


def test_put_goes_where_it_should(transport, remote, files):
    transport.put(f"{files}/*.txt", remote)
    assert set(transport.listdir(remote)) == {"a.txt", "c.txt"}
    transport.put(str(files), f"{remote}/new")
    assert set(transport.listdir(f"{remote}/new")) == {"a.txt", "b.tmp", "c.txt"}
    transport.mkdir(f"{remote}/there")
    transport.put(str(files), f"{remote}/there")
    assert set(transport.listdir(f"{remote}/there/local")) == {"a.txt", "b.tmp", "c.txt"}
    transport.put(f"{files}/*.tmp", f"{remote}/one")
    assert transport.isfile(f"{remote}/one")
    with pytest.raises(OSError):
        transport.put(f"{files}/*.txt", f"{remote}/none")
    with pytest.raises(OSError):
        transport.put(f"{files}/*.txt", f"{remote}/one")
    transport.put(str(files / "a.txt"), f"{remote}/there")
    assert transport.isfile(f"{remote}/there/a.txt")
    with pytest.raises(ValueError):
        transport.put(f"{files}/*.txt", f"{remote}/*")
    with pytest.raises(OSError):
        transport.put(f"{files}/*.none", remote)
    transport.put(str(files / "missing"), f"{remote}/x", ignore_nonexisting=True)
    assert not transport.path_exists(f"{remote}/x")


def test_get_goes_where_it_should(transport, remote, files, tmp_path):
    transport.put(str(files), f"{remote}/local")
    out = tmp_path / "out"
    out.mkdir()
    transport.get(f"{remote}/local/*.txt", str(out))
    assert set(os.listdir(out)) == {"a.txt", "c.txt"}
    transport.get(f"{remote}/local", str(out / "new"))
    assert tree(out / "new") == tree(files)
    (out / "there").mkdir()
    transport.get(f"{remote}/local", str(out / "there"))
    assert tree(out / "there" / "local") == tree(files)
    transport.get(f"{remote}/local/*.tmp", str(out / "one"))
    assert (out / "one").read_text() == "b.tmp\n"
    with pytest.raises(OSError):
        transport.get(f"{remote}/local/*.txt", str(out / "none"))
    with pytest.raises(OSError):
        transport.get(f"{remote}/local", str(out / "one"))
    transport.get(f"{remote}/local/a.txt", str(out / "there"))
    assert (out / "there" / "a.txt").read_text() == "a.txt\n"
    with pytest.raises(ValueError):
        transport.get(f"{remote}/local/*.txt", f"{out}/*")
    transport.get(f"{remote}/missing", str(out / "x"), ignore_nonexisting=True)
    assert not (out / "x").exists()
    transport.gettree(f"{remote}/local", str(out / "deep" / "er"))
    assert tree(out / "deep" / "er") == tree(files)


@pytest.mark.parametrize(
    "there, source, target, expected",
    [
        ({}, ".", ".", {"file.txt": "new"}),
        ({"local/file.txt": "old"}, "../local", ".", {"local/file.txt": "new"}),
        ({"local/file.txt": "old"}, "../local", "local", {"local/file.txt": "old", "local/local/file.txt": "new"}),
    ],
)
def test_trees_merge_into_what_is_there(transport, remote, tmp_path, there, source, target, expected):
    local, back, before = tmp_path / "local", tmp_path / "back", tmp_path / "before"
    for folder in (local, back, before):
        folder.mkdir()
    (local / "file.txt").write_text("new")
    for folder in (back, before):
        for name, text in there.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    transport.puttree(str(before), f"{remote}/target")
    transport.makedirs(f"{remote}/source")
    transport.puttree(str(local), f"{remote}/source/local")
    transport.puttree(f"{local}/{source}", f"{remote}/target/{target}")
    transport.gettree(f"{remote}/source/local/{source}", f"{back}/{target}")
    transport.gettree(f"{remote}/target", str(tmp_path / "seen"))
    assert tree(tmp_path / "seen") == expected
    assert tree(back) == expected


def test_nothing_is_overwritten_where_that_is_not_wanted(transport, remote, files, tmp_path):
    transport.puttree(str(files), f"{remote}/d")
    (files / "a.txt").write_text("changed")
    for call in (
        lambda: transport.put(str(files), f"{remote}/d", overwrite=False),
        lambda: transport.puttree(str(files), f"{remote}/d", overwrite=False),
        lambda: transport.put(str(files / "a.txt"), f"{remote}/d", overwrite=False),
        lambda: transport.putfile(str(files / "a.txt"), f"{remote}/d/a.txt", overwrite=False),
        lambda: transport.get(f"{remote}/d", str(files), overwrite=False),
        lambda: transport.gettree(f"{remote}/d", str(files), overwrite=False),
        lambda: transport.get(f"{remote}/d/a.txt", str(files), overwrite=False),
        lambda: transport.getfile(f"{remote}/d/a.txt", str(files / "a.txt"), overwrite=False),
    ):
        with pytest.raises(FileExistsError):
            call()
    transport.getfile(f"{remote}/d/a.txt", str(tmp_path / "seen"))
    assert (tmp_path / "seen").read_text() == "a.txt\n"
    assert (files / "a.txt").read_text() == "changed"


def test_symlinks_are_followed_out_of_the_folder(transport, remote, files, tmp_path):
    """The sandbox follows none that leaves a granted folder: AiiDA does."""
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "sub").mkdir(parents=True)
    (elsewhere / "sub" / "deep.txt").write_text("deep")
    (elsewhere / "far.txt").write_text("far")
    (files / "absolute").symlink_to(elsewhere / "far.txt")
    (files / "relative").symlink_to("../elsewhere/sub")
    (files / "inside").symlink_to("a.txt")
    transport.puttree(str(files), f"{remote}/d")
    transport.gettree(f"{remote}/d", str(tmp_path / "seen"))
    assert tree(tmp_path / "seen") == {
        "a.txt": "a.txt\n", "b.tmp": "b.tmp\n", "c.txt": "c.txt\n", "inside": "a.txt\n", "absolute": "far",
        "relative/deep.txt": "deep",
    }  # fmt: skip
    transport.put(str(files / "absolute"), f"{remote}/f")
    transport.get(f"{remote}/f", str(tmp_path / "f"))
    assert (tmp_path / "f").read_text() == "far"
    # Past what is sent as one piece, the sandbox reads the file itself.
    (elsewhere / "large").write_bytes(bytes(4_300_000))
    (files / "to-large").symlink_to("../elsewhere/large")
    transport.putfile(str(files / "to-large"), f"{remote}/large")
    assert transport.get_attribute(f"{remote}/large").st_size == 4_300_000
    (files / "to-large").unlink()
    (tmp_path / "alias").symlink_to(files)
    transport.mkdir(f"{remote}/into")
    transport.put(str(tmp_path / "alias"), f"{remote}/into")
    assert transport.listdir(f"{remote}/into") == ["alias"]
    # To a symlink is to what it leads to.
    (tmp_path / "link").symlink_to(elsewhere / "far.txt")
    transport.getfile(f"{remote}/d/a.txt", str(tmp_path / "link"))
    assert (elsewhere / "far.txt").read_text() == "a.txt\n"
    assert (tmp_path / "link").is_symlink()


def test_symlinks_stay_symlinks_where_that_is_wanted(transport, remote, files, tmp_path):
    (files / "inside").symlink_to("a.txt")
    transport.puttree(str(files), f"{remote}/d", dereference=False)
    assert transport.is_symlink(f"{remote}/d/inside")
    transport.gettree(f"{remote}/d", str(tmp_path / "links"), dereference=False)
    assert os.readlink(tmp_path / "links" / "inside") == "a.txt"
    transport.gettree(f"{remote}/d", str(tmp_path / "followed"))
    assert not (tmp_path / "followed" / "inside").is_symlink()
    assert (tmp_path / "followed" / "inside").read_text() == "a.txt\n"


def test_absolute_symlinks_stay_symlinks_too(transport, remote, files, tmp_path):
    """The sandbox neither reads nor makes them."""
    (files / "away").symlink_to("/no/such/place")
    (files / "inside").symlink_to("a.txt")
    transport.puttree(str(files), f"{remote}/d", dereference=False)
    transport.mkdir(f"{remote}/there")
    transport.put(str(files), f"{remote}/there", dereference=False)
    assert set(transport.listdir(f"{remote}/there/local")) == {"a.txt", "b.tmp", "c.txt", "away", "inside"}
    for folder in (tmp_path / "tree", tmp_path / "got"):
        (transport.gettree if folder.name == "tree" else transport.get)(f"{remote}/d", str(folder), dereference=False)
        assert os.readlink(folder / "away") == "/no/such/place"
        assert os.readlink(folder / "inside") == "a.txt"
        assert (folder / "a.txt").read_text() == "a.txt\n"
    with pytest.raises(FileNotFoundError, match="away"):
        transport.puttree(str(files), f"{remote}/followed")


def test_an_archive_writes_nothing_outside_its_folder(tmp_path):
    import tarfile

    from aiida_firecrest_wasm import local

    outside, folder = tmp_path / "outside", tmp_path / "folder"
    for name, link in (("d/../../outside", None), ("d/link", str(tmp_path))):
        archive = tmp_path / "x.tar"
        with tarfile.open(archive, "w") as tar:
            if link:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, link
                tar.addfile(member)
                name = f"{name}/outside"
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        with pytest.raises(OSError):
            local.unpack(str(archive), str(folder))
        assert not outside.exists()


def test_symlinks_on_the_cluster(transport, remote, files):
    transport.puttree(str(files), f"{remote}/d")
    transport.symlink(f"{remote}/d/a.txt", f"{remote}/link")
    assert transport.is_symlink(f"{remote}/link")
    assert transport.isfile(f"{remote}/link")
    assert stat.S_ISLNK(transport.get_attribute(f"{remote}/link").st_mode)
    with pytest.raises(OSError):
        transport.symlink(f"{remote}/d/c.txt", f"{remote}/link")
    transport.mkdir(f"{remote}/links")
    transport.symlink(f"{remote}/d/*.txt", f"{remote}/links")
    assert set(transport.listdir(f"{remote}/links")) == {"a.txt", "c.txt"}
    with pytest.raises(ValueError):
        transport.symlink(f"{remote}/d/*", f"{remote}/*")


def test_copies(transport, remote, files):
    transport.puttree(str(files), f"{remote}/local")
    for source, target in (("", f"{remote}/x"), (f"{remote}/local", ""), (f"{remote}/local", f"{remote}/./local")):
        with pytest.raises(ValueError):
            transport.copy(source, target)
    with pytest.raises(FileNotFoundError):
        transport.copy(f"{remote}/missing", f"{remote}/x")
    with pytest.raises(OSError):
        transport.copy(f"{remote}/*.none", remote)
    with pytest.raises(OSError):
        transport.copy(f"{remote}/local", f"{remote}/x", recursive=False)
    transport.copy(f"{remote}/local/a.txt", f"{remote}/one")
    assert transport.isfile(f"{remote}/one")
    transport.copy(f"{remote}/local/*.tmp", f"{remote}/two")
    assert transport.isfile(f"{remote}/two")
    with pytest.raises(OSError):
        transport.copy(f"{remote}/local/*.txt", f"{remote}/three")
    transport.copy(f"{remote}/local/*.txt", remote)
    assert set(transport.listdir(remote)) == {"local", "one", "two", "a.txt", "c.txt"}
    transport.copy(f"{remote}/local", f"{remote}/new")
    assert set(transport.listdir(f"{remote}/new")) == {"a.txt", "b.tmp", "c.txt"}
    transport.copytree(f"{remote}/local", f"{remote}/new")
    assert set(transport.listdir(f"{remote}/new/local")) == {"a.txt", "b.tmp", "c.txt"}
    transport.copyfile(f"{remote}/local/a.txt", f"{remote}/new/d.txt")
    assert transport.isfile(f"{remote}/new/d.txt")
    with pytest.raises(OSError):
        transport.copyfile(f"{remote}/local", f"{remote}/y")
    with pytest.raises(OSError):
        transport.copytree(f"{remote}/local/a.txt", f"{remote}/y")


def test_renaming(transport, remote, files):
    transport.puttree(str(files), f"{remote}/d")
    transport.rename(f"{remote}/d/a.txt", f"{remote}/d/z.txt")
    assert set(transport.listdir(f"{remote}/d")) == {"z.txt", "b.tmp", "c.txt"}
    with pytest.raises(OSError):
        transport.rename(f"{remote}/d/z.txt", f"{remote}/d/c.txt")
    with pytest.raises(OSError):
        transport.rename(f"{remote}/d/missing", f"{remote}/d/x")
    for source, target in (("", f"{remote}/x"), (f"{remote}/d", "")):
        with pytest.raises(ValueError):
            transport.rename(source, target)


def test_patterns(transport, remote, files):
    transport.puttree(str(files), f"{remote}/d")
    transport.puttree(str(files), f"{remote}/e")
    assert transport.glob(f"{remote}/*/a.txt") == [f"{remote}/d/a.txt", f"{remote}/e/a.txt"]
    assert list(transport.iglob(f"{remote}/d/*.txt")) == [f"{remote}/d/a.txt", f"{remote}/d/c.txt"]
    assert transport.glob(f"{remote}/d/b.tmp") == [f"{remote}/d/b.tmp"]
    assert transport.glob(f"{remote}/d/none*") == []
    assert transport.normalize(f"{remote}/d/../e/./a.txt") == f"{remote}/e/a.txt"


@pytest.mark.parametrize("name", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives(transport, remote, files, name):
    (files / "sub").mkdir()
    (files / "sub" / "deep.txt").write_text("deep")
    transport.puttree(str(files), f"{remote}/d")
    archive = f"{remote}/new/folder/archive.{name}"
    transport.compress(name, [f"{remote}/d/*.txt", f"{remote}/d/sub"], archive, f"{remote}/d")
    transport.extract(archive, f"{remote}/out")
    assert set(transport.listdir(f"{remote}/out")) == {"a.txt", "c.txt", "sub"}
    assert transport.isfile(f"{remote}/out/sub/deep.txt")


def test_archives_refused(transport, remote, files):
    transport.puttree(str(files), f"{remote}/d")
    transport.compress("tar", f"{remote}/d", f"{remote}/x.tar", remote)
    transport.extract(f"{remote}/x.tar", f"{remote}/stripped", strip_components=1)
    assert set(transport.listdir(f"{remote}/stripped")) == {"a.txt", "b.tmp", "c.txt"}
    with pytest.raises(ValueError):
        transport.compress("zip", f"{remote}/d", f"{remote}/x.zip", remote)
    with pytest.raises(OSError):
        transport.compress("tar", f"{remote}/missing", f"{remote}/y.tar", remote)
    with pytest.raises(OSError):
        transport.compress("tar", f"{remote}/d/*.none", f"{remote}/y.tar", remote)
    with pytest.raises(OSError):
        transport.compress("tar", f"{remote}/d", f"{remote}/x.tar", remote, overwrite=False)
    with pytest.raises(OSError):
        transport.compress("tar", f"{remote}/d", f"{remote}/d", remote)
    with pytest.raises(OSError):
        transport.compress("tar", f"{remote}/d", f"{remote}/y.tar", f"{remote}/missing")
    with pytest.raises(OSError):
        transport.extract(f"{remote}/missing.tar", f"{remote}/out")
    with pytest.raises(NotImplementedError):
        transport.extract(f"{remote}/x.tar", f"{remote}/out", overwrite=False)


def test_commands(transport, remote):
    assert transport.exec_command_wait("cat; pwd; echo oops >&2; exit 3", stdin="Größe ", workdir=remote) == (
        3, f"Größe {remote}\n", "oops\n",
    )  # fmt: skip
    data = b"not unicode: \xfa"
    assert transport.exec_command_wait_bytes("cat", stdin=io.BytesIO(data)) == (0, data, b"")
    with pytest.raises(UnicodeDecodeError):
        transport.exec_command_wait("cat", stdin=data)
    with pytest.raises(ValueError):
        transport.exec_command_wait("cat", stdin=1)


def test_who_and_where(transport):
    name = transport.whoami()
    assert name and isinstance(name, str)
    said = os.popen(transport.gotocomputer_command("/a b/c'd")).read()
    assert "opens no shell" in said and "/a b/c'd" in said
    assert "opens no shell" in os.popen(transport.gotocomputer_command()).read()


def test_between_two_computers(transport, make_transport, remote, files, tmp_path):
    from aiida.plugins import TransportFactory

    other = make_transport(max_io_allowed=3)
    transport.puttree(str(files), f"{remote}/d")
    transport.mkdir(f"{remote}/other")
    with other:
        transport.copy_from_remote_to_remote(other, f"{remote}/d", f"{remote}/other")
        transport.copy_from_remote_to_remote(other, f"{remote}/d/a.txt", f"{remote}/other/f")
    assert set(transport.listdir(f"{remote}/other")) == {"d", "f"}
    assert set(transport.listdir(f"{remote}/other/d")) == {"a.txt", "b.tmp", "c.txt"}
    with TransportFactory("core.local")() as here:
        (tmp_path / "here").mkdir()
        transport.copy_from_remote_to_remote(here, f"{remote}/d", str(tmp_path / "here"))
        assert tree(tmp_path / "here" / "d") == tree(files)
        here.copy_from_remote_to_remote(transport, str(files), f"{remote}/from-here")
    assert set(transport.listdir(f"{remote}/from-here")) == {"a.txt", "b.tmp", "c.txt"}


def test_every_method_has_its_asynchronous_twin(make_transport, remote, files, tmp_path):
    async def run() -> None:
        async with make_transport() as transport:
            await transport.makedirs_async(f"{remote}/d")
            await asyncio.gather(*(transport.putfile_async(files / "a.txt", f"{remote}/d/{number}") for number in range(30)))
            assert len(await transport.listdir_async(f"{remote}/d")) == 30
            await transport.gettree_async(f"{remote}/d", str(tmp_path / "seen"))
            assert await transport.isfile_async(f"{remote}/d/7")
            assert len(await transport.glob_async(f"{remote}/d/1*")) == 11
            assert [path async for path in transport.iglob_async(f"{remote}/d/7")] == [f"{remote}/d/7"]
            # A blocking method inside a running loop.
            assert transport.isdir(f"{remote}/d")

    asyncio.run(run())
    assert len(tree(tmp_path / "seen")) == 30


def test_its_methods_are_those_of_aiida(make_transport):
    import inspect

    from aiida.transports import AsyncTransport, Transport

    transport = make_transport()
    for name, method in inspect.getmembers(Transport, inspect.isfunction):
        if name.startswith("__"):
            continue
        ours = getattr(type(transport), name)
        inherited = ours is getattr(AsyncTransport, name)
        wanted = [one for one in inspect.signature(method).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
        has = inspect.signature(ours).parameters
        generic = any(one.kind is one.VAR_POSITIONAL for one in has.values())
        assert inherited or generic or [one.name for one in wanted] == list(has)[: len(wanted)], name
        twin = getattr(type(transport), f"{name}_async", None)
        if twin is not None and generic:
            assert [one.name for one in wanted] == list(inspect.signature(twin).parameters)[: len(wanted)], name
