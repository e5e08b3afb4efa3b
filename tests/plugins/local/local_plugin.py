"""A plugin whose cluster is one granted folder: the world `aiida:hpc/plugin`, written in Python. README.md says what it can do."""

from options import NAME, OPTIONS, VERSION, settings
from place import Folder
from scheduler import Scheduler
from transport import MOST, Session
from wit_world import exports
from wit_world.exports.configuration import FileSystem, OptionDescription, PluginInfo, ServerInfo, ServiceHealth, SystemInfo

__all__ = ["Configuration", "Scheduler", "Transport"]

SUMMARY = "Files in one granted folder, jobs in a journal there"


class Configuration(exports.Configuration):
    def describe(self) -> PluginInfo:
        return PluginInfo(NAME, VERSION, SUMMARY)

    def options(self) -> list[OptionDescription]:
        return OPTIONS

    def check(self, values: list[tuple[str, str]]) -> ServerInfo:
        folder = Folder(settings(values))
        folder.check()
        system = SystemInfo(
            name="local",
            scheduler="journal",
            scheduler_version=VERSION,
            services=[ServiceHealth("filesystem", "/", True, None), ServiceHealth("scheduler", None, True, "jobs are written down, not run")],
            file_systems=[FileSystem("/", "users", True)],
            upload_limit=MOST,
            download_limit=MOST,
            transfer_method=None,
            part_size=None,
        )
        return ServerInfo("local folder", VERSION, [system], Session(folder).whoami())


class Transport(exports.Transport):
    """The interface has no functions beside its resource."""
