"""Before anything is submitted: a request that can never run is refused, with what the cluster has and what to change.

What a person can read from `sinfo` is checked here, in words of the config. The rest (accounts, QOS, reservations,
limits of an association, options that sbatch does not know) is asked of sbatch itself, which tries without submitting.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence

from dsmath.errors import UserError, did_you_mean
from dsmath.launch.cluster import TOO_LONG, Partition, Shape, ask, no_answer, partitions, require_slurm
from dsmath.launch.request import Request, argument, options

LEAST_WORK = 60  # seconds that a job must have before it is told to save: it starts, and makes a step
NOT_NOW = "Requested node configuration is not available"  # also where nodes that are away would be enough
_KEYS = {  # what sbatch's words are about, from the top
    r"account\b": "launcher.slurm.account",
    "partition": "launcher.slurm.partition",
    "qos": "launcher.slurm.qos",
    "reservation": "launcher.slurm.reservation",
    "feature|constraint": "launcher.slurm.constraint",
    "dependency": "launcher.slurm.dependency",
    "--signal": "launcher.slurm.signal_seconds",
    "gres": "hardware.devices",
    "memory": "hardware.memory_gb",
    "time limit": "hardware.minutes",
    "option|--|node name": "launcher.slurm.sbatch",
}


def require_runnable(requests: Mapping[str, Request]) -> None:
    """Refuse requests that can never run, by the labels of the points that make them.

    A request that merely has to wait passes, for nodes that are busy, down or drained too.

    Raises:
        UserError: where SLURM is not here or does not answer, and for every request that can never run what was asked,
            what the cluster has, and the key to change.
    """
    require_slurm()
    labels: dict[Request, list[str]] = {}
    for label, request in requests.items():
        labels.setdefault(request, []).append(label)
    if not labels:
        return
    cluster = partitions()
    refused = [
        f"{_points(names)}: {why}"
        for request, names in labels.items()
        if (why := refusal(request, cluster, sbatch_says)) is not None
    ]
    if refused:
        raise UserError("launcher=slurm: this can never run, and nothing was submitted\n" + "\n".join(refused))


def refusal(request: Request, cluster: Sequence[Partition], test: Callable[[Request], str | None]) -> str | None:
    """Why the request can never run on this cluster, or None; `test` is asked what sbatch says of it, None for yes."""
    named, why = _named(request, cluster)
    if why is None:
        # of several partitions SLURM takes whichever can run the job
        whys = [_refused_by(partition, request, cluster) for partition in named]
        why = None if None in whys else whys[0]
    if why is not None:
        return why
    said = test(request)
    away = any(shape.away for partition in named for shape in partition.shapes)
    if said is None or (NOT_NOW in said and away):
        return None
    key = next((key for words, key in _KEYS.items() if re.search(words, said, re.IGNORECASE)), "launcher.slurm")
    return f"{key}: sbatch says {said!r} to {_command(request)}"


def sbatch_says(request: Request) -> str | None:
    """What sbatch has against the request when it tries it without submitting; None when it would take it."""
    tried = ask(["sbatch", "--test-only", *_arguments(request)], given="#!/bin/sh\n")
    if tried.returncode == 0:
        return None
    if tried.returncode == TOO_LONG or re.search("Unable to contact|timed out", tried.stderr):
        raise no_answer("sbatch", tried.stderr)
    lines = [re.sub(r"^(sbatch: )?(error: |allocation failure: )?", "", line) for line in tried.stderr.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith('Try "sbatch')) or "nothing, and refuses"


def _arguments(request: Request) -> list[str]:
    return [argument(name, value) for name, value in options(request).items()]


def _command(request: Request) -> str:
    return f"`sbatch {' '.join(_arguments(request))}`"


def _points(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _named(request: Request, cluster: Sequence[Partition]) -> tuple[list[Partition], str | None]:
    """The partitions that the request may run in, or what is wrong with their names."""
    known = {partition.name: partition for partition in cluster}
    has = f"the cluster has {', '.join(known) or 'none'}"
    given = request.partition or os.environ.get("SBATCH_PARTITION")  # sbatch takes it where no option says another
    if given is None:
        default = [partition for partition in cluster if partition.default]
        return default, None if default else f"launcher.slurm.partition = null: no partition is the default; {has}"
    for name in given.split(","):
        if name not in known:
            return [], f"launcher.slurm.partition = {given}: no partition {name}{did_you_mean(name, known)}; {has}"
    return [known[name] for name in given.split(",")], None


def _refused_by(partition: Partition, request: Request, cluster: Sequence[Partition]) -> str | None:
    """What keeps the request from ever running in this partition."""
    others = [other for other in cluster if other.name != partition.name and _takes(other, request)]
    if not partition.up:
        return (
            f"launcher.slurm.partition = {partition.name}: that partition is not up; try again when it is{_or(others)}"
        )
    if partition.longest is not None and request.minutes > partition.longest:
        return (
            f"hardware.minutes = {request.minutes}: partition {partition.name} allows {_minutes(partition.longest)}; "
            f"expected at most that{_or(others, {other.name: _limit(other.longest) for other in others})}"
        )
    return _no_time_to_work(request) or _too_few_nodes(partition, request, others)


def _no_time_to_work(request: Request) -> str | None:
    if request.minutes * 60 >= request.signal_seconds + LEAST_WORK:
        return None
    least = -(-(request.signal_seconds + LEAST_WORK) // 60)
    return (
        f"hardware.minutes = {request.minutes}: the job is told to save {request.signal_seconds} s before its limit, "
        f"which leaves no time to work; expected {least} or more, or a smaller launcher.slurm.signal_seconds"
    )


def _too_few_nodes(partition: Partition, request: Request, others: Sequence[Partition]) -> str | None:
    """Which part of the request too few nodes have; those that are away are counted in, for they may come back."""
    total, most = _count(partition.shapes), partition.most_nodes
    if request.nodes > total or (most is not None and request.nodes > most):
        limit = f"has {_nodes(total)}" if most is None or most > total else f"gives a job {_nodes(most)} at most"
        return f"hardware.num_nodes = {request.nodes}: partition {partition.name} {limit}; expected fewer{_or(others)}"
    return _too_small(partition, request, others) or _not_at_once(partition, request, others)


def _too_small(partition: Partition, request: Request, others: Sequence[Partition]) -> str | None:
    """A single amount, or a feature, that too few nodes have."""
    amounts: list[tuple[str, int, str, str, Callable[[Shape], int]]] = [
        ("hardware.devices", request.gpus, "so many GPUs", "GPUs", lambda shape: shape.gpus),
        ("hardware.cpus_per_device × hardware.devices", request.cpus, "so many CPUs", "CPUs", lambda shape: shape.cpus),
        ("hardware.memory_gb", request.memory_gb, "so much memory", "GB", lambda shape: shape.memory_mb // 1024),
    ]
    for key, asked, so_much, unit, amount in amounts:
        enough = [shape for shape in partition.shapes if amount(shape) >= asked]
        if _count(enough) < request.nodes:
            each = sorted((amount(shape) for shape in partition.shapes for _ in range(shape.nodes)), reverse=True)
            most = each[request.nodes - 1]  # so many nodes have
            largest = {other.name: f"{max(map(amount, other.shapes))} {unit}" for other in others}
            return (
                f"{key} = {asked}: {_so_few(partition, enough, request)} {so_much}; expected "
                f"{f'at most {most} {unit}' if most else 'hardware=cpu'}{_or(others, largest)}"
            )
    enough = [shape for shape in partition.shapes if _has_features(shape, request.constraint)]
    return None if _count(enough) >= request.nodes else _features(partition, request, enough, others)


def _not_at_once(partition: Partition, request: Request, others: Sequence[Partition]) -> str | None:
    """Amounts and features of which each is there, but not on the same nodes."""
    enough = [shape for shape in partition.shapes if _enough(shape, request)]
    if _count(enough) >= request.nodes:
        return None
    features = f" and the features {request.constraint}" if request.constraint else ""
    return (
        f"hardware: {_so_few(partition, enough, request)} {request.cpus} CPUs, {request.memory_gb} GB, {request.gpus} "
        f"GPUs{features} at once: there are {'; '.join(_described(shape) for shape in partition.shapes)}; expected "
        f"less of one of them{_or(others)}"
    )


def _features(partition: Partition, request: Request, wanted: Sequence[Shape], others: Sequence[Partition]) -> str:
    known = sorted({feature for shape in partition.shapes for feature in shape.features})
    unknown = [name for name in re.split(r"[&|]", request.constraint or "") if name not in known]
    meant = did_you_mean(unknown[0], known) if unknown else ""
    has = f"some of {', '.join(known)}" if known else "launcher.slurm.constraint=null, for its nodes have no features"
    return (
        f"launcher.slurm.constraint = {request.constraint}: {_so_few(partition, wanted, request)} that{meant}; "
        f"expected {has}{_or(others)}"
    )


def _so_few(partition: Partition, enough: Sequence[Shape], request: Request) -> str:
    """`no node of partition main has`, `1 node of partition main, where hardware.num_nodes = 2 are asked for, has`."""
    count = _count(enough)
    if not count:
        return f"no node of partition {partition.name} has"
    asked = f"where hardware.num_nodes = {request.nodes} are asked for"
    return f"{_nodes(count)} of partition {partition.name}, {asked}, {'has' if count == 1 else 'have'}"


def _has_features(shape: Shape, constraint: str | None) -> bool:
    """`a`, `a&b` and `a|b`; what is more than that is left to sbatch."""
    if constraint is None or not re.fullmatch(r"[\w.:=+-]+(&[\w.:=+-]+)*|[\w.:=+-]+(\|[\w.:=+-]+)*", constraint):
        return True
    some = any if "|" in constraint else all
    return some(name in shape.features for name in re.split(r"[&|]", constraint))


def _enough(shape: Shape, request: Request) -> bool:
    return (
        shape.cpus >= request.cpus
        and shape.gpus >= request.gpus
        and shape.memory_mb >= request.memory_gb * 1024
        and _has_features(shape, request.constraint)
    )


def _takes(partition: Partition, request: Request) -> bool:
    """Whether the request could run in this partition as it is."""
    return (
        partition.up
        and (partition.longest is None or request.minutes <= partition.longest)
        and (partition.most_nodes is None or request.nodes <= partition.most_nodes)
        and _count([shape for shape in partition.shapes if _enough(shape, request)]) >= request.nodes
    )


def _count(shapes: Sequence[Shape]) -> int:
    return sum(shape.nodes for shape in shapes)


def _or(others: Sequence[Partition], have: Mapping[str, str] | None = None) -> str:
    """`, or another partition: main (no limit), low (no limit)`: those where the request can run as it is, if any."""
    names = [f"{other.name} ({have[other.name]})" if have else other.name for other in others]
    return f", or another partition: {', '.join(names)}" if names else ""


def _minutes(count: int) -> str:
    return _counted(count, "minute")


def _limit(longest: int | None) -> str:
    return "no limit" if longest is None else _minutes(longest)


def _nodes(count: int) -> str:
    return _counted(count, "node")


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _described(shape: Shape) -> str:
    features = f" and {' '.join(sorted(shape.features))}" if shape.features else ""
    return f"{shape.nodes} with {shape.cpus} CPUs, {shape.memory_mb // 1024} GB, {shape.gpus} GPUs{features}"
