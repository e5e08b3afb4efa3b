"""The plugin's one option."""

from errors import invalid
from wit_world.exports.configuration import OptionDescription, OptionKind

NAME, VERSION = "aiida-local", "0.1.0"

OPTIONS = [
    OptionDescription(
        name="folder",
        kind=OptionKind.TEXT,
        prompt="Folder",
        help="An absolute path on this machine, granted to the plugin for reading and writing. It is the cluster's /.",
        default=None,
        required=True,
    )
]


def settings(values: list[tuple[str, str]]) -> str:
    """The folder that the options name. Names that are not described are ignored, as the contract says."""
    folder = dict(values).get("folder", "")
    if not folder:
        raise invalid("folder", "the option folder is missing: an absolute path that is granted to the plugin")
    return folder
