"""Job scripts: directives that this scheduler reads (`#JOURNAL …`), then the environment, then the programs."""

from errors import invalid
from wit_world.exports.scheduler import CodeInfo, JobTemplate, RunMode

DIRECTIVE = "#JOURNAL"
HOLD = f"{DIRECTIVE} hold"


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
        ("name", template.job_name),
        ("output", template.sched_output_path),
        ("error", None if template.sched_join_files else template.sched_error_path),
        ("time", template.max_wallclock_seconds),
    ]
    lines = [f"{DIRECTIVE} {name}={one_line(name, str(value))}" for name, value in found if value is not None]
    if template.submit_as_hold:
        lines.append(HOLD)
    if template.custom_scheduler_commands:
        lines.append(template.custom_scheduler_commands)
    return lines


def one_line(name: str, value: str) -> str:
    """A second line would be shell code."""
    if "\n" in value or "\r" in value:
        raise invalid(name, f"{name}: holds a line break")
    return value


def variables(template: JobTemplate) -> list[tuple[str, str]]:
    for name, _ in template.job_environment:
        if not name.isidentifier() or not name.isascii():
            raise invalid("job-environment", f"job-environment: {name!r} is no name of a variable")
    return template.job_environment


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
