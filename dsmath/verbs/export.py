"""`dsmath export RUN [OPTIONS]`: a model in the transformers format, with its tokenizer and a model card.

RUN is a run's folder, or a result of the store (STORE/STAGE/FINGERPRINT). Of a run that has not ended, the state that
it would go on from is exported.

  --to FOLDER      where it goes, by default exports/MODEL-STAGE-FINGERPRINT; a folder that is empty or not there yet
  --stage STAGE    rl, sft, pretrain or reward_model; by default the last model of the run
  --dtype DTYPE    float32, bfloat16 or float16; by default as it was trained, float32

The folder is written beside and renamed. Exit code 2 for a mistake; nothing is written then.
"""

import argparse
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsmath.errors import UserError, did_you_mean
from dsmath.graph.stages import STAGES
from dsmath.graph.store import RECORD as ENTRY
from dsmath.graph.store import Entry, Store
from dsmath.tracking.naming import LINEAGE
from dsmath.tracking.provenance import RECORD as RUN
from dsmath.verbs.diff import CONFIG, read_config
from dsmath.work import SCRATCH, Work

if TYPE_CHECKING:
    from dsmath.models.card import Ancestor, Base, Evaluation
    from dsmath.models.load import Policy
    from dsmath.models.scorer import Scorer

OPTIONS = ("--to", "--stage", "--dtype")
MODELS = ("rl", "sft", "pretrain", "reward_model")  # stages whose result is a model, the last of a chain first
DTYPES = ("float32", "bfloat16", "float16")
PRIVATE = ("paths", "logger", "launcher", "hydra", "local")  # overrides about the machine, not about the model
README = "README.md"


@dataclass(frozen=True)
class Run:
    """A run's folder: its resolved config and its record."""

    folder: Path
    config: Mapping[str, Any]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A model to export: a published entry, or `state`, from which a run's unfinished stage would go on.

    `reads` has the values that decided it by their paths in the config, `upstreams` the fingerprints of what it grew
    from by label.
    """

    stage: str
    fingerprint: str
    store: Store
    reads: Mapping[str, Any]
    upstreams: Mapping[str, str]
    run: Run | None
    entry: Entry | None
    state: Path | None = None


@dataclass(frozen=True)
class Loaded:
    """The model itself; of an unfinished stage with its step and its last metrics."""

    model: "Policy | Scorer"
    metrics: Mapping[str, Any]
    step: int | None = None


def export(arguments: Sequence[str]) -> None:
    """Find the model, write it beside, and rename it into place.

    Raises:
        UserError: for an option that cannot be used, a RUN without a model, or a folder that is not free.
    """
    given = _parse(arguments)
    found = find(given.run, given.stage)
    name = found.reads["model"]["name"]
    default = Path("exports", f"{name}-{found.stage}-{found.fingerprint}")
    target = (default if given.to is None else Path(given.to).expanduser()).absolute()
    _require_free(target, given.to or str(default))
    loaded = load(found, given.dtype)
    card = describe(found, loaded, given.dtype or "float32")
    with _beside(target) as folder:
        _save(loaded.model, folder)
        (folder / README).write_text(card, encoding="utf-8")
    short = target.relative_to(Path.cwd()) if target.is_relative_to(Path.cwd()) else target
    at = f", after {loaded.step} steps of a training that has not ended" if loaded.step is not None else ""
    print(f"exported: {found.stage} {found.fingerprint}{at}\nfolder: {short}\ncard: {short / README}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dsmath export", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("run", nargs="*")
    for name in OPTIONS:
        parser.add_argument(name)
    for word in arguments:
        if word.startswith("-") and word.partition("=")[0] not in OPTIONS:
            raise UserError(
                f"{word}: no such option of export{did_you_mean(word, OPTIONS)}; there are {', '.join(OPTIONS)}"
            )
    try:
        given = parser.parse_intermixed_args(list(arguments))
    except (argparse.ArgumentError, SystemExit) as error:
        raise UserError(f"export: {error}; expected dsmath export RUN [OPTIONS]") from None
    if len(given.run) != 1:
        raise UserError("expected: dsmath export RUN [--to FOLDER] [--stage STAGE] [--dtype DTYPE]")
    given.run = given.run[0]
    for option, value, known in (("--stage", given.stage, MODELS), ("--dtype", given.dtype, DTYPES)):
        if value is not None and value not in known:
            raise UserError(f"{option} {value}: expected one of {', '.join(known)}{did_you_mean(value, known)}")
    if given.to is not None and not given.to.strip():
        raise UserError("--to: expected a folder")
    return given


# --- finding the model


def find(run: str, stage: str | None) -> Found:
    """The model of a run's folder or of a store's entry.

    Raises:
        UserError: when there is none, naming what is near.
    """
    path = Path(run).expanduser()
    if (path / RUN).is_file():
        return _of_run(run, path, stage)
    if (path / ENTRY).is_file():
        return _of_entry(run, path.resolve(), stage)
    partial = path if path.suffix == ".partial" else path.with_name(f"{path.name}.partial")
    if partial.is_dir():
        raise UserError(
            f"{run}: unfinished work of the stage {partial.parent.name}, which does not say by itself what model it "
            "is; expected the folder of the run that began it"
        )
    what = "it has neither run.json nor entry.json" if path.is_dir() else "no such folder"
    below = sorted(file.parent for name in (RUN, ENTRY) for file in path.glob(f"*/{name}")) if path.is_dir() else []
    siblings = [str(each) for each in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = f"; one level below is {below[-1]}" if below else did_you_mean(str(path), siblings)
    raise UserError(f"{run}: {what}{hint}; expected a run's folder, or a result of the store, STORE/STAGE/FINGERPRINT")


def _of_entry(run: str, path: Path, stage: str | None) -> Found:
    try:
        record = json.loads((path / ENTRY).read_text(encoding="utf-8"))
        name, fingerprint = record["stage"], record["fingerprint"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path / ENTRY}: cannot be read ({error})") from None
    if (name, fingerprint) != (path.parent.name, path.name):  # a store would take it for damaged
        raise UserError(f"{run}: the result {name}/{fingerprint} out of its place; expected STORE/{name}/{fingerprint}")
    if name not in MODELS:
        raise UserError(f"{run}: the stage {name} makes no model; expected a result of {', '.join(MODELS)}")
    if stage is not None and stage != name:
        raise UserError(f"--stage {stage}: {run} is a result of {name}; leave --stage out")
    store = Store(path.parent.parent)
    entry = store.load(name, fingerprint)
    if entry is None:
        raise UserError(f"{run}: it was damaged, and lies beside now; the run that made it makes it again")
    return _finished(store, entry, None)


def _of_run(run: str, folder: Path, stage: str | None) -> Found:
    config = read_config(folder)
    try:
        record = json.loads((folder / RUN).read_text(encoding="utf-8"))
        fingerprints = {str(label): str(each) for label, each in record["fingerprints"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / RUN}: cannot be read ({error})") from None
    known = [name for name in MODELS if name in fingerprints]
    target = config["stage"]["name"]
    if not known:
        raise UserError(f"{run}: a run of stage={target}, which makes no model; expected one of {', '.join(MODELS)}")
    if stage is not None and stage not in known:
        raise UserError(f"--stage {stage}: the run has none; expected one of {', '.join(known)}")
    chosen = stage or (target if target in known else known[0])
    fingerprint = fingerprints[chosen]
    stores = _stores(folder, config)
    for store in stores:
        if (entry := store.load(chosen, fingerprint) if store.find(chosen, fingerprint) else None) is not None:
            return _finished(store, entry, Run(folder, config, record))
    from dsmath.training.callbacks import STATE

    for store in stores:
        state = store.root / chosen / f"{fingerprint}.partial" / SCRATCH / STATE
        if state.exists():
            reads = {path: _at(config, path) for path in STAGES[chosen].reads}
            grown = {label: each for label, each in fingerprints.items() if _grows(chosen, label, config)}
            return Found(chosen, fingerprint, store, reads, grown, Run(folder, config, record), None, state)
    done = [name for name in known if any(store.find(name, fingerprints[name]) for store in stores)]
    other = f"; --stage {done[0]} is finished" if done else ""
    where = ", ".join(str(store.root) for store in stores) or "nowhere"
    raise UserError(
        f"{run}: its stage {chosen} ({fingerprint}) has no result and no saved state yet{other}; the same command goes "
        f"on with it, and saves every trainer.checkpoint_every steps (looked into the store {where})"
    )


def _grows(stage: str, label: str, config: Mapping[str, Any]) -> bool:
    """Whether an unfinished stage started from the result with this label, whose own record tells the rest."""
    if stage == "pretrain":
        return label == "tokens"
    return label == config[stage]["init"] or (stage == "reward_model" and label == "reward_data")


def _finished(store: Store, entry: Entry, run: Run | None) -> Found:
    said = entry.describe
    return Found(entry.stage, entry.fingerprint, store, said["reads"], said["upstreams"], run, entry)


def _stores(folder: Path, config: Mapping[str, Any]) -> list[Store]:
    """Where the run's results may lie: where its lineage says, and below every folder that it may have run in."""
    roots: list[Path] = []
    if (folder / LINEAGE).is_file():
        try:
            told = json.loads((folder / LINEAGE).read_text(encoding="utf-8"))["nodes"]
            roots += [Path(node["folder"]).parent.parent for node in told]
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(f"{folder / LINEAGE}: cannot be read ({error})") from None
    roots += [base / config["paths"]["store"] for base in (Path.cwd(), *folder.resolve().parents)]
    return [Store(root) for root in dict.fromkeys(roots) if root.is_dir()]


def _at(config: Mapping[str, Any], path: str) -> Any:
    found: Any = config
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise UserError(
                f"the run's {CONFIG} lacks {path}: another version of dsmath began it; export with that one"
            )
        found = found[name]
    return found


# --- loading it


def load(found: Found, dtype: str | None) -> Loaded:
    """The model, in the dtype that was asked for.

    Raises:
        UserError: when it cannot be loaded, or its weights are too large for float16.
    """
    import torch

    from dsmath.models.load import load_saved
    from dsmath.models.scorer import load_scorer
    from dsmath.stages.policies import MODEL

    if found.entry is None:
        loaded = _unfinished(found)
    else:
        folder = found.entry.path / MODEL
        model = load_scorer(folder) if found.stage == "reward_model" else load_saved(folder, "float32")
        loaded = Loaded(model, found.entry.summary)
    if dtype is not None:
        network: torch.nn.Module = loaded.model.model
        network.to(getattr(torch, dtype))
        large = sum(int((~torch.isfinite(weight)).sum()) for weight in network.parameters())
        if large:
            raise UserError(f"--dtype {dtype}: {large} of its weights do not fit; expected --dtype bfloat16")
    return loaded


def _unfinished(found: Found) -> Loaded:
    """What the stage starts from, with the weights of the saved state."""
    from omegaconf import OmegaConf

    from dsmath.config.check import check
    from dsmath.models.lora import merged
    from dsmath.models.scorer import scorer_from_policy
    from dsmath.stages.policies import initial_policy

    assert found.run is not None
    assert found.state is not None
    e = check(OmegaConf.create(dict(found.run.config)))
    upstream = "model" if found.stage == "pretrain" else str(getattr(e, found.stage).init)
    upstreams = {}
    if upstream != "model":
        entry = found.store.load(upstream, found.upstreams[upstream])
        if entry is None:
            raise UserError(f"{found.state}: the {upstream} that it grew from is no longer in {found.store.root}")
        upstreams[upstream] = entry
    work = Work(e, found.stage, "", found.state.parent, upstreams, tracker=None)
    policy = initial_policy(work, upstream)
    model = scorer_from_policy(policy) if found.stage == "reward_model" else policy
    saved = _read_state(found.state)
    weights = {
        name.removeprefix("model."): value for name, value in saved["state_dict"].items() if name.startswith("model.")
    }
    if found.stage in ("sft", "rl") and e.lora.name != "none":
        assert e.lora.alpha is not None
        assert e.lora.rank is not None
        weights = merged(weights, e.lora.alpha / e.lora.rank)
    model.model.load_state_dict(weights)
    return Loaded(model, saved["last_metrics"], int(saved["global_step"]))


def _read_state(state: Path) -> dict[str, Any]:
    """A state in one file, or in shards in a folder."""
    import torch

    from dsmath.training.sharded_state import load_shards

    saved: dict[str, Any] = (
        load_shards(state, like=None)
        if state.is_dir()
        else torch.load(state, map_location="cpu", weights_only=True, mmap=True)
    )
    return saved


# --- describing it


def describe(found: Found, loaded: Loaded, dtype: str) -> str:
    """The model's card."""
    from dsmath.models.card import Asking, Card, render
    from dsmath.models.load import parameter_count
    from dsmath.models.prompt import begin_tokens

    reads, run, model = found.reads, found.run, loaded.model
    context = min(int(reads["model"]["context_length"]), model.context_length)
    prompt = reads["model"]["prompt"]
    lineage = list(_lineage(found))
    name = reads["model"]["name"]
    return render(
        Card(
            title=f"{run.config['name']}: {name} after {found.stage}" if run else f"{name} after {found.stage}",
            kind="reward_model" if found.stage == "reward_model" else "policy",
            stage=found.stage,
            method=reads["algorithm"]["name"] if found.stage == "rl" else found.stage.replace("_", " "),
            base=_base(reads["model"]["policy"]),
            architecture=type(model.model).__name__,
            parameters=parameter_count(model.model),
            dtype=dtype,
            context_length=context,
            asking=Asking(
                style=prompt["style"],
                instruction=prompt["instruction"],
                begins=bool(begin_tokens(model.tokenizer)),
                max_new_tokens=int(reads.get("sampling", {}).get("max_new_tokens", max(1, min(512, context // 2)))),
            ),
            tools=reads.get("tools", {}).get("name", "none") != "none",
            lineage=[ancestor for ancestor, _ in lineage],
            metrics={
                key: float(value)
                for key, value in _numbers(loaded.metrics)
                if not key.startswith(("seconds", "peak_memory", "parameters"))
            },
            evaluations=_evaluations(found),
            settings={f"{each.label} {each.fingerprint}": dict(values) for each, values in lineage if values},
            overrides=None if run is None else [w for w in run.record["overrides"] if _public(w)],
            code=_code(run),
            step=loaded.step,
        )
    )


def _numbers(metrics: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a summary, those within its parts too."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{at}{name} ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{at}{name}", value


def _public(override: str) -> bool:
    key = override.lstrip("+~").partition("=")[0]
    return key.split(".")[0].split("/")[0].split("@")[0] not in PRIVATE


def _code(run: Run | None) -> str:
    """What made it, and what exported it."""
    from dsmath import __version__
    from dsmath.tracking.provenance import code_origin

    def told(version: str, git: Mapping[str, Any]) -> str:
        changed = " with changes that were not committed" if git["changed"] else ""
        return f"dsmath {version}" + (f", commit {git['commit']}{changed}" if git["commit"] else "")

    exported = f"Exported with {told(__version__, code_origin())}"
    if run is None:
        return exported
    record = run.record
    packages = ", ".join(f"{name} {record['packages'].get(name)}" for name in ("torch", "transformers"))
    return f"Made with {told(record['dsmath'], record['git'])} ({packages}). {exported}"


def _lineage(found: Found) -> Iterator[tuple["Ancestor", Mapping[str, Any]]]:
    """The model and what it grew from, with the values that decided each; a result that several need is told once."""
    from dsmath.models.card import Ancestor

    told: set[str] = set()

    def walk(label: str, fingerprint: str, depth: int) -> Iterator[tuple[Ancestor, Mapping[str, Any]]]:
        if fingerprint in told:
            yield Ancestor(depth, label, fingerprint, "above"), {}
            return
        told.add(fingerprint)
        stage = label.partition("@")[0]
        if depth == 0:
            entry, reads, upstreams = found.entry, found.reads, found.upstreams
        else:
            entry = found.store.find(stage, fingerprint)
            reads, upstreams = ({}, {}) if entry is None else (entry.describe["reads"], entry.describe["upstreams"])
        missing = "no longer in the store" if depth else "not finished"
        yield Ancestor(depth, label, fingerprint, _made(entry) if entry is not None else missing), reads
        for name, above in upstreams.items():
            yield from walk(name, above, depth + 1)

    yield from walk(found.stage, found.fingerprint, 0)


def _made(entry: Entry) -> str:
    version = json.loads((entry.path / ENTRY).read_text(encoding="utf-8"))["dsmath"]
    return f"made {entry.created[:10]} with dsmath {version}"


def _evaluations(found: Found) -> list["Evaluation"]:
    """Every evaluation of this model that the store has."""
    from dsmath.models.card import Evaluation

    evaluations = []
    for file in sorted(found.store.root.glob(f"eval/*/{ENTRY}")):
        entry = found.store.find("eval", file.parent.name)
        if entry is None:
            continue
        ((label, fingerprint),) = entry.describe["upstreams"].items()
        answers = found.store.find("answers", fingerprint)
        if answers is None or found.fingerprint not in answers.describe["upstreams"].values():
            continue
        numbers, asked = entry.summary, answers.summary
        samples = f", {asked['samples']} samples at temperature {asked['temperature']:g}" if asked["samples"] else ""
        evaluations.append(
            Evaluation(
                benchmark=label.rpartition("/")[2],
                problems=int(numbers["problems"]),
                confidence=float(numbers["confidence"]),
                asked=f"prompt {asked['prompt']}, tools {asked['tools']}{samples}",
                measures=[
                    (name, float(value), *map(float, numbers[f"{name}_interval"]))  # type: ignore[misc]
                    for name, value in numbers.items()
                    if f"{name}_interval" in numbers
                ],
            )
        )
    return sorted(evaluations, key=lambda each: each.benchmark)


def _base(policy: Mapping[str, Any]) -> "Base":
    """What the config's model is, as far as the hub knows it: a local folder is named by its own card alone."""
    from dsmath.models.card import Base, base_of

    if policy["_target_"] == "dsmath.models.load.smollm2_135m":
        return Base("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
    if policy["_target_"] != "dsmath.models.load.pretrained":
        return Base()
    path = str(policy["path"])
    if (local := Path(path).expanduser()).is_dir():
        return base_of(_text(local / README))
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(path, "config.json"), str):
        return Base()  # it may be a folder that is gone
    card = try_to_load_from_cache(path, README)
    return Base(path, base_of(_text(Path(card))).license if isinstance(card, str) else None)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


# --- writing it


def _require_free(target: Path, given: str) -> None:
    """Raises UserError for a place that has something already."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{given}: not a folder; choose another with --to FOLDER")
    if target.is_dir() and (any(target.iterdir()) or target == Path.cwd()):
        raise UserError(f"{given}: the folder is not empty; choose another with --to FOLDER")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A folder that takes its place as a whole, or goes again."""
    writing = target.with_name(f".{target.name}.writing-{os.getpid()}")
    try:
        writing.mkdir(parents=True)
        yield writing
        writing.rename(target)  # over an empty folder, and over nothing else
    except OSError as error:
        if error.errno is None or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # said by the command line
            raise
        raise UserError(f"{target}: cannot be written ({error.strerror}); choose another with --to FOLDER") from None
    finally:
        shutil.rmtree(writing, ignore_errors=True)


def _save(model: "Policy | Scorer", folder: Path) -> None:
    from dsmath.models.load import Policy, save_policy
    from dsmath.models.scorer import save_scorer

    if isinstance(model, Policy):
        save_policy(model, folder)
    else:
        save_scorer(model, folder)
