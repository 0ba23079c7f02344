"""`dsmath …`: one experiment or a sweep, after everything in it has been checked."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from dsmath.config import places
from dsmath.config.compose import CONFIG_NAME, Composed, composer
from dsmath.config.schema import Experiment
from dsmath.config.types import Component
from dsmath.errors import UserError
from dsmath.graph.chain import nodes, require_available
from dsmath.graph.store import Store
from dsmath.planning.plan import warnings
from dsmath.point import job
from dsmath.tracking.labels import HELD_OUT
from dsmath.tracking.naming import varied
from dsmath.verbs.sweep import PointsFailed

if TYPE_CHECKING:
    from dsmath.evaluation.prompts import PromptStyle

BASIC = "hydra._internal."
FAILED = 1  # the exit code when points of a sweep have failed


def run(overrides: Sequence[str], *, sweep: bool) -> int:
    """Check every point, then hand over to Hydra.

    Raises:
        UserError: before anything is written, naming every mistake of every point.
    """
    with composer() as compose:
        points = compose.sweep(overrides) if sweep else [compose.one(overrides)]
        lines = compose.for_hydra(overrides)
        sweep = sweep or _goes_to_slurm(points[0].experiment)
        preflight(points, sweep=sweep)
        if sweep:
            _require_folder(points[0], lines)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # a bug keeps its whole traceback
    sys.argv = ["dsmath", *(["--multirun"] if sweep else []), *lines]
    task = job if sweep else _single
    try:
        hydra.main(version_base="1.3", config_path=str(places.root("conf")), config_name=CONFIG_NAME)(task)()
    except _Mistaken as mistaken:
        raise mistaken.error from None
    except PointsFailed as failed:
        print(f"dsmath: {failed}", file=sys.stderr)
        return FAILED
    return 0


def _goes_to_slurm(e: Experiment) -> bool:
    """Whether a single run is a job. Of the corpus the shards are, and what submits them and waits runs here."""
    return e.launcher.name == "slurm" and e.stage.name not in ("pages", "corpus")


def _require_folder(point: Composed, lines: Sequence[str]) -> None:
    """The sweep's folder is no other's, found out before Hydra writes there."""
    from dsmath.sweeps.batches import require_usable
    from dsmath.sweeps.folder import require_free

    if OmegaConf.select(point.config, "hydra.launcher._target_", default="").startswith(BASIC):
        return  # Hydra's own, for which a folder is what it was
    if given := [line for line in lines if line.lstrip("+").startswith("hydra.sweep.subdir=")]:
        raise UserError(f"{given[0]}: points lie in folders named by their numbers; expected hydra.sweep.dir alone")
    if moved := [line for line in lines if line.lstrip("+").startswith("hydra.") and is_sweep([line])]:
        raise UserError(f"{moved[0]}: Hydra takes one value there; expected a single one")
    HydraConfig.instance().set_config(point.config)
    folder = Path(str(OmegaConf.select(point.config, "hydra.sweep.dir")))
    require_usable(folder, on_slurm=point.experiment.launcher.name == "slurm")
    require_free(folder, lines)


def is_sweep(overrides: Sequence[str]) -> bool:
    """An ablation is a sweep, and so are several values for one key."""
    for text in overrides:
        if text.lstrip("+").startswith("ablation=") and text.split("=", 1)[1] != "null":
            return True
        try:
            if OverridesParser.create().parse_override(text).is_sweep_override():
                return True
        except HydraException:
            continue  # reported with the other mistakes
    return False


def preflight(points: Sequence[Composed], *, sweep: bool) -> None:
    """What can be known before a job starts: stages that exist, input files, models, folders that can be written.

    What will not fit into memory is warned of, since a plan can err.

    Raises:
        UserError: for the first point that could not finish.
    """
    seen: set[str] = set()  # what points share is looked at once
    for point in points:
        e = point.experiment
        try:
            every = nodes(e)
            require_available(every, e)
            for what, require in _requirements(e, {node.stage.name for node in every}, sweep=sweep).items():
                if what not in seen:
                    require()
                    seen.add(what)
        except UserError as error:
            where = f"{' '.join(point.overrides)}  →  " if len(points) > 1 else ""
            raise UserError(f"{where}{error}") from None
    for line in dict.fromkeys(line for point in points for line in warnings(point.experiment)):
        print(f"warning: {line}", file=sys.stderr)
    if asked := {told(point): point.experiment for point in points if sweep and point.experiment.launcher.slurm}:
        from dsmath.launch.cluster_check import require_runnable
        from dsmath.launch.request import request_of

        require_runnable({label: request_of(e) for label, e in asked.items()})


def told(point: Composed) -> str:
    """What tells a point from the others of its sweep."""
    return " ".join(f"{key}={value}" for key, value in varied(point.overrides).items()) or point.experiment.name


def _requirements(e: Experiment, stages: set[str], *, sweep: bool) -> dict[str, Callable[[], object]]:
    """What the experiment's stages need besides the config, each by a text that tells it apart."""
    found: dict[str, Callable[[], object]] = {}
    for stage, source, splits in (
        ("sft", e.sft.problems, ("train", "validation")),
        ("samples", e.samples.problems, ("train",)),
        ("rl", e.rl.problems, ("train", "validation")),
        *(("answers", benchmark.problems, (benchmark.split,)) for benchmark in e.eval.benchmarks.values()),
    ):
        if stage in stages and source.target.startswith("dsmath.data."):
            found[f"{source} {splits}"] = partial(_require_problems, source, splits)
    if "answers" in stages:
        found[f"prompts {e.eval.prompt} {e.eval.prompts_file}"] = partial(require_prompts, e)
        if set(e.eval.benchmarks) != {HELD_OUT} and len(stages) > 2:  # else asking is the first that is done
            asked = f"{e.model} {e.eval.benchmarks} {e.eval.prompt} {e.eval.size} {e.eval.max_new_tokens}"
            found[f"questions {asked}"] = partial(_require_questions, e)
    if "pages" in stages:
        found[f"crawl {e.crawl} {e.decontamination} {e.corpus} {e.annotation}"] = partial(_require_crawl, e)
    if e.tools.name == "python" and stages & {"rl", "answers"}:
        found["sandbox"] = _require_sandbox
    if e.lora.name != "none" and stages & {"sft", "rl"}:
        found["adapters"] = _require_adapters
    policy = e.model.policy
    if policy.target == "dsmath.models.load.pretrained":
        found[str(policy)] = partial(_require_model, str(policy.arguments["path"]))
    for name in ("store", "sweeps" if sweep else "runs"):
        folder = str(getattr(e.paths, name))
        found[f"{name} {folder}"] = partial(_require_writable, folder, name)
    return found


def _require_problems(source: Component, splits: Sequence[str]) -> None:
    """Read local files now, as a broken line would otherwise be met after hours."""
    problems = source.build()
    if getattr(problems, "inputs", dict)():
        for split in splits:
            problems.split(split)


def _require_crawl(e: Experiment) -> None:
    """The crawl has shards, the benchmarks and the seed can be read, and decisions are well-formed."""
    from dsmath.corpus.annotation import decisions_file, read_decisions
    from dsmath.corpus.urls import UrlPattern

    e.crawl.source.build().shards()
    for benchmark in e.decontamination.benchmarks.values():
        if benchmark.problems.target.startswith("dsmath.data."):
            benchmark.problems.build().split(benchmark.split)
    for pattern in e.corpus.seed_urls:
        UrlPattern.parse(pattern)
    if e.corpus.seed_files is not None:
        from dsmath.data.text_sources import TextFiles

        TextFiles(path=e.corpus.seed_files, column=e.corpus.seed_column).parts()
    if e.annotation.name == "file" and e.annotation.file is not None:
        read_decisions(decisions_file(e.annotation.file))


def require_prompts(e: Experiment) -> "dict[str, PromptStyle]":
    """The prompt style of every benchmark. Raises UserError when its file has no such prompt."""
    from dsmath.evaluation.prompts import prompt_style

    return {
        name: prompt_style(
            e.eval.prompt,
            model_prompt=e.model.prompt,
            benchmark=benchmark,
            prompts_file=e.eval.prompts_file,
            where=f"benchmark={name}",
        )
        for name, benchmark in e.eval.benchmarks.items()
    }


def _require_questions(e: Experiment) -> None:
    """Every question fits the model's context: it would be a pity to learn that behind hours of training."""
    from dsmath.evaluation.answering import ask
    from dsmath.models.load import tokenizer_of

    tokenizer = tokenizer_of(e.model.policy)
    for name, style in require_prompts(e).items():
        if tokenizer is not None:
            ask(tokenizer, e.model.context_length, e.eval.benchmarks[name], style, e.eval)


def _require_sandbox() -> None:
    """The kernel can contain programs that a model wrote."""
    from dsmath.sandbox.executor import require

    require()


def _require_adapters() -> None:
    """The library that adapters come from is installed."""
    from dsmath.models.lora import require_adapters

    require_adapters()


def _require_model(path: str) -> None:
    """A folder with a model, or a name that the hub or its cache has."""
    from dsmath.models.load import require_pretrained

    require_pretrained(path)


def _require_writable(folder: str, name: str) -> None:
    """Find out without writing: the nearest folder that exists must be a folder that one may write to."""
    if name == "store" and Path(folder).is_dir():
        Store(Path(folder)).check_writable()
    near = Path(folder).absolute()
    while not near.exists():
        near = near.parent
    if not near.is_dir() or not os.access(near, os.W_OK):
        why = "is not a folder" if not near.is_dir() else "cannot be written to"
        raise UserError(f"paths.{name} = {folder}: {near} {why}; choose another with paths.{name}=FOLDER")


class _Mistaken(BaseException):
    """Carries a mistake past Hydra, which would print lines of its own before it."""

    def __init__(self, error: UserError) -> None:
        self.error = error
        super().__init__(str(error))


def _single(config: DictConfig) -> float | None:
    try:
        return job(config)
    except UserError as error:
        raise _Mistaken(error) from error
