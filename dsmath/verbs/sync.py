"""`dsmath sync FOLDER`: upload W&B runs that were logged offline, and ask the server what arrived."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dsmath.tracking.arrived import Arrival, Server
    from dsmath.tracking.sync import LocalRun

MISSING = 1


def sync(folder: str) -> int:
    """Upload every run below a sweep's, a run's or any other folder; 0 if all of it is at the server, else 1.

    A resumed run's segments end as one run. A run that is uploaded is not uploaded again, but asked for again. The
    artifacts that a run used, which W&B cannot be told offline, are added. What the runs logged stays as it is, with
    W&B's marks of what was uploaded beside it. After a failure the same command goes on.

    Raises:
        UserError: for a folder without W&B runs, two runs with one id, and without a key that the server takes.
    """
    from dsmath.tracking.sync import NotReachedError, local_runs

    runs, unreadable = local_runs(Path(folder).expanduser())
    from dsmath.tracking.arrived import Server

    try:
        server = Server()
        arrivals, problems, notes = _sync(runs, server)
    except NotReachedError as error:
        print(f"dsmath: W&B's server does not answer{f' ({error})' if str(error) else ''}.")
        print(f"No run here was changed; when it does, `dsmath sync {folder}` goes on.")
        return MISSING
    _print(arrivals)
    for line in [*unreadable, *problems, *notes]:
        print(line)
    arrived = sum(not arrival.differences for arrival in arrivals)
    print(f"{arrived} of {len(arrivals)} runs are whole at {server.url}")
    if not problems and not unreadable:
        return 0
    print(f"No run here was changed; `dsmath sync {folder}` goes on with what is left.")
    return MISSING


def _sync(runs: "Sequence[LocalRun]", server: "Server") -> "tuple[list[Arrival], list[str], list[str]]":
    """What arrived of each run, what is wrong, and what else there is to say."""
    from dsmath.tracking.sync import upload

    problems, notes, wanted = [], [], []
    for run in runs:
        if run.run.damage:
            notes.append(f"{run.title}: {run.run.damage}; the rest is uploaded")
        if run.running:
            problems.append(f"{run.title}: may still be running (it wrote within the last minute), so it waits")
        elif not run.waiting:
            print(f"{run.title}: uploaded before, not uploaded again")
        elif run.online and not server.arrival(run).differences:
            print(f"{run.title}: logged online, all of it is there")
        else:
            problems += [f"{run.title}: {line}" for line in run.gone]
            wanted.append(run)
    said = upload(wanted, done=lambda run: print(f"{run.title}: uploaded, {run.rows} rows"), reached=server.reached)
    for run in wanted:
        problems += [f"{run.title}: not uploaded: {line}" for line in said.get(run.run.id, ())]
    done = [run for run in runs if not run.running]
    for run in done:
        notes += [f"{run.title}: used {name}, which is not at the server" for name in server.add_lineage(run)]
    arrivals = [server.arrival(run) for run in done]
    problems += [f"{arrival.local.title}: {line}" for arrival in arrivals for line in arrival.differences]
    return arrivals, problems, notes


def _print(arrivals: "Sequence[Arrival]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not arrivals:
        return
    table = Table(title="at the server, of what is here")
    table.add_column("run")
    table.add_column("state")
    for column in ("rows", "artifacts", "used"):
        table.add_column(column, justify="right")
    for arrival in arrivals:
        local = arrival.local
        counts = ((arrival.rows, local.rows), (arrival.artifacts, len({(a.name, a.digest) for a in local.artifacts})))
        cells = [f"{there} of {here}" for there, here in (*counts, (arrival.used, len(local.used)))]
        table.add_row(Text(local.title), Text(arrival.state or "not there"), *cells)  # names are text, not markup
    Console().print(table)
