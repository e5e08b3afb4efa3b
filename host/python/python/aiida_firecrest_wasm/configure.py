"""The questions of ``verdi computer configure firecrest``.

They are the component's own description of its options, in its order and with its defaults, which are those of aiida-firecrest. What is
done with an answer beyond storing it is here: the secret goes to a file of its own, the temporary directory is made, and where 0 means
"ask the server", the server is asked.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any, Optional

import click

from . import _native
from .errors import FirecrestError

_NEVER_ASKED = ("access_token",)
"""A token lives for minutes: nothing for a computer that is set up once."""

_NOT_PROMPTED = ("token_auth_method", "requests_per_minute", "request_timeout_s")
"""Beyond aiida-firecrest's questions: on the command line and in a file only."""

_REQUIRED = ("url", "token_uri", "client_id", "client_secret", "compute_resource", "billing_account", "temp_directory")
"""aiida-firecrest asks for these until it gets an answer."""

_TO_CONNECT = ("url", "token_uri", "client_id", "client_secret", "compute_resource")

_TYPES = {"text": str, "secret": str, "integer": int, "number": float, "flag": bool}

_MORE = {"checksum_check": ". Note: This can slow down the Transport plugin."}
"""The end of a question that the component leaves to its help."""


@lru_cache(maxsize=1)
def _options() -> OrderedDict[str, dict[str, Any]]:
    options: OrderedDict[str, dict[str, Any]] = OrderedDict()
    for told in _native.options().wait():
        if told["name"] not in _NEVER_ASKED:
            options[told["name"]] = _question(told)
    return options


def auth_options() -> OrderedDict[str, dict[str, Any]]:
    """Names and questions, as AiiDA's ``verdi computer configure`` wants them. Sends nothing."""
    return OrderedDict((name, dict(question)) for name, question in _options().items())


def _question(told: dict[str, Any]) -> dict[str, Any]:
    name, kind = told["name"], _TYPES[told["kind"]]
    question: dict[str, Any] = {
        "type": kind,
        "prompt": told["prompt"] + _MORE.get(name, ""),
        "help": told["help"],
        "non_interactive_default": name not in _REQUIRED,
    }
    if told["default"] is not None:
        text = told["default"]
        question["default"] = text == "true" if kind is bool else kind(text)
    if name in _NOT_PROMPTED:
        question["prompt_fn"] = _never
    callback = _CALLBACKS.get(name)
    if callback is not None:
        question["callback"] = callback
    return question


def _never(_ctx: click.Context) -> bool:
    return False


def _report(text: str) -> None:
    click.echo(click.style("Fireport: ", bold=True, fg="magenta") + text)


def _store_secret(ctx: click.Context, _param: click.Parameter, value: Optional[str]) -> Optional[str]:
    """Writes a secret to a file that only its owner can read; the absolute path of such a file is taken as it is."""
    if value is None:
        return None
    if os.path.isabs(os.path.expanduser(value)):
        path = Path(value).expanduser()
        if not path.is_file():
            raise click.BadParameter(f"Secret file not found at {value}")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            _report(f"Others on this machine can read {path}: chmod 600 {path}")
        return str(path)
    folder = Path("~/.firecrest").expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"secret_{uuid.uuid4()}"
    # Never readable by others, not even for a moment.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(value.strip())
    _report(f"Client Secret stored at {path}")
    return str(path)


def _transport(ctx: click.Context, **more: Any) -> Any:
    """A transport with the answers so far; none: not enough of them yet."""
    from .transport import FirecrestTransport

    given: dict[str, Any] = {name: ctx.params.get(name) for name in _TO_CONNECT}
    if any(value is None for value in given.values()):
        return None
    account = ctx.params.get("billing_account")
    return FirecrestTransport(**given, billing_account=account, **more)


def _ask_server(ctx: click.Context) -> Optional[dict[str, Any]]:
    """What the server says of itself; asked once a dialogue."""
    key = f"{__name__}.server"
    if key not in ctx.meta:
        try:
            transport = _transport(ctx)
            ctx.meta[key] = transport and transport._client.check().wait()
        except (FirecrestError, ValueError) as error:
            raise click.ClickException(f"The server could not be asked: {error}") from error
    server: Optional[dict[str, Any]] = ctx.meta[key]
    return server


def _check_temp_directory(ctx: click.Context, _param: click.Parameter, value: Optional[str]) -> Optional[str]:
    """The directory is there and empty, or is made."""
    if value is None:
        return None
    if not value.startswith("/"):
        raise click.BadParameter(f"Temp directory {value} is not an absolute path")
    try:
        transport = _transport(ctx, temp_directory=value)
        if transport is None:
            _report(f"Temp directory {value} is not checked: give it after the server's address and the credentials")
            return value
        _prepare(ctx, transport, value)
    except FirecrestError as error:
        if error.kind in ("unauthenticated", "unavailable") or error.subject in _TO_CONNECT:
            # Another directory would not help.
            raise click.ClickException(str(error)) from error
        raise click.BadParameter(f"Could not create temp directory {value} on server: {error}") from error
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    _report(f"Temp directory is set to {value}")
    return value


def _prepare(ctx: click.Context, transport: Any, value: str) -> None:
    if transport.isfile(value):
        raise click.BadParameter("Temp directory cannot be a file")
    if not transport.path_exists(value):
        transport.makedirs(value, ignore_existing=True)
        return
    if not transport.listdir(value):
        return
    if ctx.params.get("non_interactive"):
        # Nobody there to ask; names in it are unique, so that what is there does no harm.
        _report(f"Temp directory {value} is not empty; it is left as it is")
        return
    if not click.confirm(f"Temp directory {value} is not empty. Do you want to flush it?"):
        click.echo("Please provide an empty temp directory on the server.")
        raise click.BadParameter(f"Temp directory {value} is not empty")
    transport.rmtree(value)
    transport.mkdir(value)


def _check_concurrency(_ctx: click.Context, _param: click.Parameter, value: Optional[int]) -> Optional[int]:
    if value is not None and not 1 <= value <= 1000:
        raise click.BadParameter(f"{value} is not a whole number from 1 to 1000")
    return value


def _ask_version(ctx: click.Context, _param: click.Parameter, value: Optional[str]) -> Optional[str]:
    """0 is kept, so that a server that is updated stays usable: it is asked with every new session anyway."""
    if value is None:
        return None
    server = _ask_server(ctx)
    if value.strip() not in ("0", "0.0", "0.0.0"):
        try:
            transport = _transport(ctx, api_version=value)
            if transport is not None:
                transport._client.open().wait()
        except FirecrestError as error:
            raise click.BadParameter(str(error)) from error
    elif server:
        _report(f"Deployed version of FirecREST api: v{server['version']}")
    return value


def _ask_direct_size(ctx: click.Context, _param: click.Parameter, value: Optional[float]) -> Optional[float]:
    """0 is kept, as the version's."""
    if value is None:
        return None
    if not 0 <= value < float("inf"):
        raise click.BadParameter(f"{value} is not a number from 0 on")
    if value == 0:
        server = _ask_server(ctx)
        system = ctx.params.get("compute_resource")
        for told in server["systems"] if server else []:
            if told["name"] == system:
                _report(f"Maximum file size for direct transfer: {told['upload_limit'] / 1024 / 1024:g} MB")
    return value


_CALLBACKS = {
    "client_secret": _store_secret,
    "temp_directory": _check_temp_directory,
    "max_io_allowed": _check_concurrency,
    "api_version": _ask_version,
    "small_file_size_mb": _ask_direct_size,
}
