"""Job scripts: directives that this scheduler reads (`#JOURNAL …`), then the environment, then the programs."""

import re

from errors import invalid
from wit_world.exports.scheduler import CodeInfo, JobResource, JobTemplate, RunMode

DIRECTIVE = "#JOURNAL"
HOLD = f"{DIRECTIVE} hold"
# Characters of a job's name.
NAME_LENGTH = 128


def render(template: JobTemplate) -> str:
    lines = [template.shebang or "#!/bin/bash"]
    if not lines[0].startswith("#!"):
        raise invalid("shebang", f"shebang: {lines[0]!r} does not begin with #!")
    lines += directives(template)
    lines += [f"export {name}={quoted(value, template.environment_variables_double_quotes)}" for name, value in variables(template)]
    lines += [text for text in (template.prepend_text,) if text]
    lines += programs(template.codes_info, template.codes_run_mode)
    lines += [text for text in (template.append_text,) if text]
    return "\n".join(lines) + "\n"


def directives(template: JobTemplate) -> list[str]:
    found = [
        ("name", clean(template.job_name)),
        ("output", template.sched_output_path),
        ("error", None if template.sched_join_files else template.sched_error_path),
        ("queue", template.queue_name),
        ("time", at_least(1, "max-wallclock-seconds", template.max_wallclock_seconds)),
        ("memory", at_least(0, "max-memory-kb", template.max_memory_kb)),
        *resources(template.job_resource),
    ]
    lines = [f"{DIRECTIVE} {name}={one_line(name, str(value))}" for name, value in found if value is not None]
    if template.submit_as_hold:
        lines.append(HOLD)
    if template.custom_scheduler_commands:
        lines.append(template.custom_scheduler_commands)
    return lines


def clean(name: str | None) -> str | None:
    """None, too, where nothing stays of it."""
    return re.sub(r"[^A-Za-z0-9_.-]", "", name)[:NAME_LENGTH] or None if name else None


def at_least(least: int, field: str, value: int | None) -> int | None:
    if value is not None and value < least:
        raise invalid(field, f"{field}: {value} is less than {least}")
    return value


def resources(asked: JobResource | None) -> list[tuple[str, int]]:
    """Nodes, and processes on each: two of the three numbers give the third, and all have to agree."""
    if asked is None:
        return []
    nodes = at_least(1, "num-machines", asked.num_machines)
    each = at_least(1, "num-mpiprocs-per-machine", asked.num_mpiprocs_per_machine)
    total = at_least(1, "tot-num-mpiprocs", asked.tot_num_mpiprocs)
    if [nodes, each, total].count(None) > 1:
        raise invalid("job-resource", "job-resource: two of num-machines, num-mpiprocs-per-machine and tot-num-mpiprocs are needed")
    if total is None:
        total = nodes * each
    nodes = total // each if nodes is None else nodes
    each = total // nodes if each is None and nodes else each
    if not each or nodes * each != total:
        raise invalid("tot-num-mpiprocs", f"tot-num-mpiprocs: {total} is not the processes of {nodes} nodes with {each} each")
    cores, per_process = asked.num_cores_per_machine, asked.num_cores_per_mpiproc
    if cores is not None and (cores != per_process * each if per_process is not None else cores < 1 or cores % each):
        raise invalid("num-cores-per-machine", f"num-cores-per-machine: {cores} is not a number of cores for each of {each} processes")
    return [("nodes", nodes), ("processes-per-node", each)]


def one_line(name: str, value: str) -> str:
    """A second line would be shell code."""
    if "\n" in value or "\r" in value:
        raise invalid(name, f"{name}: holds a line break")
    return value


def variables(template: JobTemplate) -> list[tuple[str, str]]:
    return named("job-environment", template.job_environment)


def named(field: str, environment: list[tuple[str, str]]) -> list[tuple[str, str]]:
    for name, _ in environment:
        if not name.isidentifier() or not name.isascii():
            raise invalid(field, f"{field}: {name!r} is no name of a variable")
    return environment


def programs(codes: list[CodeInfo], mode: RunMode) -> list[str]:
    end = " &" if mode is RunMode.PARALLEL else ""
    lines = [program(code) + end for code in codes]
    return [*lines, "wait"] if end and lines else lines


def program(code: CodeInfo) -> str:
    outer, inner = code.use_double_quotes
    words = [quoted(word, inner) for word in code.cmdline_params]
    words += [f"{sign} {quoted(name, outer)}" for sign, name in (("<", code.stdin_name), (">", code.stdout_name)) if name]
    if code.join_files:
        words.append("2>&1")
    elif code.stderr_name:
        words.append(f"2> {quoted(code.stderr_name, outer)}")
    text = " ".join(words)
    before = [quoted(word, outer) for word in code.prepend_cmdline_params]
    return " ".join([*before, quoted(text, True) if code.wrap_cmdline_params else text])


def quoted(text: str, double: bool) -> str:
    """As one word for a shell; in double quotes variables are still put in."""
    if double:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`") + '"'
    return "'" + text.replace("'", "'\"'\"'") + "'"
