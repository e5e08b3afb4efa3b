"""Goes through pyfirecrest's v2 calls for files, jobs and status against one server, errors included.

    python pyfirecrest.py CONFIG.json [--short-limit]

CONFIG.json is what `firecrest-simulator --config-out` writes. `--short-limit` says that commands may take a second at most, so
that compressing 24 MiB has to become a job. Run it with a queue wait of some seconds, or an upload's job sleeps for a minute:

    firecrest-simulator --queue-wait 1.5 --command-limit 1 --run sh -c \
        'python pyfirecrest.py "$AIIDA_FIRECREST_CONFIG" --short-limit'

Where the server's own limit is 1 MiB, pyfirecrest cannot read the logs of its own transfers: take 5 MiB or more.

Prints a line for each call, and ends with status 1 at the
first answer that is not what it should be. Everything happens in a new folder of the user's home, removed at the end.
"""

import hashlib
import json
import os
import pathlib
import sys
import tempfile
import time
import uuid

import firecrest as f7t
from firecrest.FirecrestException import TransferJobFailedException

CALLS = 0


def said(call, what):
    """Reports a call that went as it should."""
    global CALLS
    CALLS += 1
    print(f"ok {CALLS:3} {call}: {what}", flush=True)


def expect(call, condition, seen):
    """Ends the run unless the condition holds."""
    if not condition:
        print(f"MISMATCH {call}: {seen!r}", flush=True)
        sys.exit(1)
    text = repr(seen)
    said(call, text if len(text) <= 90 else text[:87] + "...")


def refused(call, status, text, action):
    """Expects an exception whose last response has that status, and that text in its message."""
    try:
        seen = action()
    except f7t.FirecrestException as error:
        response = error.responses[-1]
        body = response.json()
        good = response.status_code == status and text in body["message"]
        keys = {"errorType", "message", "causedBy", "data", "user"}
        expect(call, good and set(body) == keys, (response.status_code, body["message"]))
        return
    print(f"MISMATCH {call}: expected {status}, got {seen!r}", flush=True)
    sys.exit(1)


def files(client, system, base, local):
    """Every direct file operation."""
    made = client.mkdir(system, f"{base}/a/b", create_parents=True)
    expect("mkdir", made["type"] == "d" and made["name"] == f"{base}/a/b", made)
    refused("mkdir of what exists", 400, "File exists", lambda: client.mkdir(system, base))
    refused(
        "mkdir without its parent",
        404,
        "No such file or directory",
        lambda: client.mkdir(system, f"{base}/x/y"),
    )

    content = "".join(f"line {number}\n" for number in range(1, 21)).encode()
    source = local / "lines.txt"
    source.write_bytes(content)
    done = client.upload(system, str(source), base, "lines.txt")
    expect("upload", done is None, done)
    refused(
        "upload to a missing folder",
        404,
        "No such file or directory",
        lambda: client.upload(system, str(source), f"{base}/nope", "x"),
    )
    target = local / "back.txt"
    client.download(system, f"{base}/lines.txt", str(target))
    expect("download", target.read_bytes() == content, len(content))
    try:
        client.download(system, f"{base}/nope", str(target))
        expect("download of nothing", False, None)
    except FileNotFoundError as error:
        said("download of nothing", type(error).__name__)
    refused(
        "download of a folder",
        500,
        "base64: read error: Is a directory",
        lambda: client.download(system, base, str(target)),
    )
    binary = bytes(range(256)) * 1024
    source.write_bytes(binary)
    client.upload(system, str(source), base, "binary")
    client.download(system, f"{base}/binary", str(target))
    expect("a binary file there and back", target.read_bytes() == binary, len(binary))

    stat = client.stat(system, f"{base}/lines.txt")
    expect("stat", stat["size"] == len(content) and len(stat) == 10, stat)
    refused(
        "stat of nothing",
        404,
        "cannot statx",
        lambda: client.stat(system, f"{base}/nope"),
    )
    refused(
        "stat outside",
        400,
        "does not match any of the defined filesystem paths",
        lambda: client.stat(system, "/etc/passwd"),
    )
    digest = client.checksum(system, f"{base}/lines.txt")
    expect(
        "checksum",
        digest == {"algorithm": "SHA256", "checksum": hashlib.sha256(content).hexdigest()},
        digest,
    )
    refused(
        "checksum of a folder", 500, "Is a directory", lambda: client.checksum(system, base)
    )
    kind = client.file_type(system, base)
    expect("file_type", kind == "directory", kind)
    changed = client.chmod(system, f"{base}/lines.txt", "640")
    expect("chmod", changed["permissions"] == "rw-r-----", changed)
    refused(
        "chmod with a bad mode",
        500,
        "invalid mode",
        lambda: client.chmod(system, f"{base}/lines.txt", "9999"),
    )
    refused(
        "chown",
        403,
        "Operation not permitted",
        lambda: client.chown(system, f"{base}/lines.txt", "root", "root"),
    )
    link = client.symlink(system, f"{base}/lines.txt", f"{base}/link")["output"]
    expect("symlink", link["linkTarget"] == f"{base}/lines.txt", link)
    refused(
        "symlink onto what exists",
        400,
        "File exists",
        lambda: client.symlink(system, f"{base}/lines.txt", f"{base}/link"),
    )
    followed = client.stat(system, f"{base}/link", dereference=True)
    expect("stat, followed", followed["size"] == len(content), followed["size"])

    head = client.head(system, f"{base}/lines.txt", num_lines=2)
    expect("head", head["content"] == "line 1\nline 2\n", head)
    head = client.head(system, f"{base}/lines.txt", num_bytes=130, exclude_trailing=True)
    expect("head, all but the end", head["endPosition"] == -130, head)
    tail = client.tail(system, f"{base}/lines.txt", num_lines=1)
    expect("tail", tail["content"] == "line 20\n", tail)
    tail = client.tail(system, f"{base}/lines.txt", num_lines=20, exclude_beginning=True)
    expect("tail, from a line on", tail["content"] == "line 20\n", tail)
    text = client.view(system, f"{base}/lines.txt")
    expect("view", text == content.decode(), len(text))
    refused("view of a folder", 500, "Is a directory", lambda: client.view(system, base))

    client.upload(system, str(source), f"{base}/a/b", ".hidden")
    names = sorted(file["name"] for file in client.list_files(system, base))
    expect("list_files", names == ["a", "binary", "lines.txt", "link"], names)
    names = [
        file["name"]
        for file in client.list_files(system, f"{base}/a", show_hidden=True, recursive=True)
    ]
    expect("list_files, recursive", names == ["b", "b/.hidden"], names)
    listed = client.list_files(system, f"{base}/lines.txt", numeric_uid=True)
    expect("list_files, numeric", listed[0]["user"] == str(stat["uid"]), listed)
    refused(
        "list_files of nothing",
        404,
        "cannot access",
        lambda: client.list_files(system, f"{base}/nope"),
    )

    for compression, name in [("gzip", "a.tgz"), ("none", "a.tar"), ("bzip2", "a.tbz")]:
        archive = f"{base}/{name}"
        client.compress(system, f"{base}/a", archive, compression=compression)
        client.mkdir(system, f"{base}/out-{compression}")
        client.extract(system, archive, f"{base}/out-{compression}", compression=compression)
        back = client.checksum(system, f"{base}/out-{compression}/a/b/.hidden")["checksum"]
        expect(f"compress, extract ({compression})", back == hashlib.sha256(binary).hexdigest(), back)
    refused(
        "compress of nothing",
        404,
        "Cannot stat",
        lambda: client.compress(system, f"{base}/nope", f"{base}/nope.tgz"),
    )
    refused(
        "extract of no archive",
        500,
        "not in gzip format",
        lambda: client.extract(system, f"{base}/lines.txt", base),
    )

    done = client.rm(system, f"{base}/a.tgz")
    expect("rm", done is None, done)
    refused(
        "rm of nothing", 404, "cannot remove", lambda: client.rm(system, f"{base}/a.tgz")
    )


def transfers(client, system, base, account):
    """File operations that are jobs."""
    client.cp(system, f"{base}/lines.txt", f"{base}/copy.txt", account=account)
    same = client.stat(system, f"{base}/copy.txt")["size"]
    expect("cp", same == client.stat(system, f"{base}/lines.txt")["size"], same)
    client.mv(system, f"{base}/copy.txt", f"{base}/moved.txt", account=account)
    refused("mv", 404, "cannot statx", lambda: client.stat(system, f"{base}/copy.txt"))
    try:
        client.mv(system, f"{base}/nope", f"{base}/x", account=account)
        expect("mv of nothing", False, None)
    except TransferJobFailedException as error:
        said("mv of nothing", type(error).__name__)


def large_files(client, system, base, local, account):
    """Files around pyfirecrest's own limit for direct transfers (1 MiB): from there on, by way of the object store."""
    limit = client.MAX_DIRECT_UPLOAD_SIZE
    source, target = local / "large.bin", local / "large.back"
    for size in (limit - 1, limit, 24 * 1024 * 1024 + 7):
        content = os.urandom(size)
        source.write_bytes(content)
        large = size >= limit
        sent = client.upload(system, str(source), base, "large.bin", account=account)
        expect(f"upload of {size}", (sent is not None) == large, type(sent).__name__)
        stat = client.stat(system, f"{base}/large.bin")
        digest = client.checksum(system, f"{base}/large.bin")["checksum"]
        same = stat["size"] == size and digest == hashlib.sha256(content).hexdigest()
        expect("its size and checksum", same, (stat["size"], digest))
        got = client.download(system, f"{base}/large.bin", str(target), account=account)
        expect(f"download of {size}", (got is not None) == large, type(got).__name__)
        expect("the same bytes", target.read_bytes() == content, size)


def slow_archives(client, system, home, base, account, short):
    """Archives that take longer than the command limit become jobs."""

    def logs():
        listed = client.list_files(system, home, show_hidden=True)
        return len([file for file in listed if file["name"].startswith(".f7t_file_handling_job_")])

    digest = client.checksum(system, f"{base}/large.bin")["checksum"]
    before = logs()
    client.compress(system, f"{base}/large.bin", f"{base}/large.tbz", compression="bzip2", account=account)
    between = logs()
    expect("compress of 24 MiB", not short or between > before, (before, between))
    client.mkdir(system, f"{base}/large-out")
    client.extract(system, f"{base}/large.tbz", f"{base}/large-out", compression="bzip2", account=account)
    expect("extract of 24 MiB", not short or logs() > between, (between, logs()))
    back = client.checksum(system, f"{base}/large-out/large.bin")["checksum"]
    expect("the same bytes", back == digest, back)


def jobs(client, system, base, local):
    """Jobs, from submission to their end."""
    script = "#!/bin/bash\n#SBATCH --job-name=hello --output=hello.out --time=00:05:00\necho $GREETING\n"
    job = client.submit(system, base, script_str=script, env_vars={"GREETING": "good day"})
    job_id = job["jobId"]
    expect("submit", job_id.isdigit(), job)
    info = client.wait_for_job(system, job_id)[0]
    expect("wait_for_job", info["status"]["state"] == "COMPLETED", info["status"])
    deadline = time.time() + 20
    while info["name"] == "allocation" and time.time() < deadline:
        time.sleep(0.3)
        info = client.job_info(system, job_id)[0]
    expect(
        "job_info",
        info["name"] == "hello" and info["workingDirectory"] == base and info["time"]["limit"] == 300,
        info,
    )
    text = client.view(system, f"{base}/hello.out")
    expect("the job's output", text == "good day\n", text)
    metadata = client.job_metadata(system, job_id)
    expect(
        "job_metadata",
        metadata[0]["standardOutput"] == f"{base}/hello.out" and metadata[0]["script"] == script,
        metadata,
    )
    known = [job["jobId"] for job in client.job_info(system)]
    expect("job_info of all", job_id in known, known)

    path = local / "job.sh"
    path.write_text("#!/bin/bash\nexit 3\n")
    failing = client.submit(system, base, script_local_path=str(path), partition="part01")["jobId"]
    status = client.wait_for_job(system, failing)[0]["status"]
    expect("a failing job", (status["state"], status["exitCode"]) == ("FAILED", 3), status)
    client.upload(system, str(path), base, "job.sh")
    remote = client.submit(system, base, script_remote_path=f"{base}/job.sh")["jobId"]
    expect("submit of a remote script", client.wait_for_job(system, remote)[0]["status"]["exitCode"] == 3, remote)

    long = client.submit(system, base, script_str="#!/bin/bash\nsleep 300\n")["jobId"]
    deadline = time.time() + 20
    while client.job_info(system, long)[0]["status"]["state"] != "RUNNING":
        if time.time() > deadline:
            expect("a running job", False, client.job_info(system, long))
        time.sleep(0.2)
    said("a running job", long)
    client.attach_to_job(system, long, f"touch {base}/attached")
    expect("attach_to_job", client.stat(system, f"{base}/attached")["size"] == 0, long)
    done = client.cancel_job(system, long)
    expect("cancel_job", done == {}, done)
    state = client.wait_for_job(system, long)[0]["status"]["state"]
    expect("a cancelled job", state.startswith("CANCELLED by "), state)
    refused(
        "cancel_job again",
        500,
        "already completing or completed",
        lambda: client.cancel_job(system, long),
    )
    refused(
        "cancel_job of an unknown job",
        500,
        "Invalid job id specified",
        lambda: client.cancel_job(system, "99999999"),
    )
    refused(
        "job_info of an unknown job",
        404,
        "Job not found.",
        lambda: client.job_info(system, "99999999"),
    )
    refused(
        "job_metadata of an unknown job",
        404,
        "Job not found.",
        lambda: client.job_metadata(system, "99999999"),
    )
    refused(
        "submit without an interpreter",
        500,
        "This does not look like a batch script",
        lambda: client.submit(system, base, script_str="echo hi\n"),
    )
    refused(
        "submit of a missing script",
        500,
        "Unable to open file",
        lambda: client.submit(system, base, script_remote_path=f"{base}/nope.sh"),
    )
    refused(
        "submit to no partition",
        500,
        "invalid partition specified",
        lambda: client.submit(system, base, script_str="#!/bin/bash\n", partition="nope"),
    )


def status(client, system, config):
    """What the server says of itself."""
    version = client.server_version()
    expect("server_version", bool(version), version)
    systems = {entry["name"]: entry for entry in client.systems()}
    expect("systems", system in systems and "dataOperation" in systems[system], sorted(systems))
    nodes = client.nodes(system)
    expect("nodes", nodes and nodes[0]["cpus"] > 0, nodes)
    partitions = client.partitions(system)
    expect("partitions", partitions and partitions[0]["partition"] == "UP", partitions)
    reservations = client.reservations(system)
    expect("reservations", reservations == [], reservations)
    user = client.userinfo(system)
    expect("userinfo", user["user"]["name"] == config["username"], user)
    refused("an unknown system", 404, "System not found", lambda: client.nodes("nosuch"))


def main():
    config = json.loads(pathlib.Path(sys.argv[1]).read_text())
    system = config["compute_resource"]

    def client(secret):
        made = f7t.v2.Firecrest(
            firecrest_url=config["url"],
            authorization=f7t.ClientCredentialsAuth(config["client_id"], secret, config["token_uri"]),
        )
        made.timeout = 30
        return made

    good = client(config["client_secret"])
    good.set_api_version("2.5.7")
    try:
        client("wrong").systems()
        expect("a wrong secret", False, None)
    except f7t.ClientsCredentialsException as error:
        expect("a wrong secret", error.responses[-1].status_code == 401, type(error).__name__)
    status(good, system, config)
    account = config["billing_account"]
    base = f"{config['workdir'].rstrip('/')}/pyfirecrest-{uuid.uuid4()}"
    good.mkdir(system, base)
    try:
        with tempfile.TemporaryDirectory() as folder:
            local = pathlib.Path(folder)
            files(good, system, base, local)
            transfers(good, system, base, account)
            large_files(good, system, base, local, account)
            slow_archives(good, system, config["workdir"], base, account, "--short-limit" in sys.argv[2:])
            jobs(good, system, base, local)
    finally:
        good.rm(system, base)
    print(f"all {CALLS} calls as they should be")


if __name__ == "__main__":
    main()
