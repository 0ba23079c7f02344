"""`dsmath --help`: what one needs, and every option with the first line of its file, read without Hydra."""

from pathlib import Path

from dsmath.config.places import folders

HEAD = """\
dsmath: mine a math corpus, pre-train, fine-tune, and compare PPO, GRPO and everything between

  dsmath                                  the whole chain on embedded problems: SFT, GRPO, evaluation
  dsmath plan experiment=grpo_7b          what an experiment consists of: found, or to be built
  dsmath kl.coef=0.01 sampling.group_size=16    change anything; what is not touched is found again
  dsmath stage=corpus round=2             a round of the corpus; `dsmath annotate` decides on its domains
  dsmath ablation=group_size              a sweep; so is kl.coef=0,0.04
  dsmath compare SWEEP                    its arms over seeds, with intervals: tables, plots, a page
  dsmath --cfg job experiment=grpo_7b     the composed config
  dsmath ablation=seed launcher=slurm     the sweep as SLURM jobs; launcher.points=2 as processes here
  dsmath status SWEEP                     how it stands; `dsmath resume SWEEP` goes on with what failed

also: dsmath export RUN [--to FOLDER] · rerun RUN · diff RUN RUN · lineage RUN · sync FOLDER
      mcnemar A B [OUT.csv] · grade FILE.jsonl [OUT.jsonl] · schema [FOLDER]
options: --help --version --cfg job|hydra|all [--resolve] [--package KEY] --multirun --config-dir FOLDER
precedence: config < groups < algorithm < experiment < ablation < local < command line
"""


def help_text() -> str:
    """The whole page."""
    lines = [HEAD]
    for title, names in (("experiments/", ("experiment", "ablation")), ("conf/", None)):
        lines.append(f"{title}")
        for group, options in _groups(names).items():
            lines.append(f"  {group}=")
            width = max(map(len, options))
            lines += [f"    {name:<{width}}  {comment}" for name, comment in options.items()]
    return "\n".join(lines) + "\n"


def _groups(names: tuple[str, ...] | None) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for folder in folders():
        for file in sorted(folder.glob("*/*.yaml")):
            group = file.parent.name
            wanted = group in names if names else group not in ("experiment", "ablation", "hydra", "local")
            if wanted:
                found.setdefault(group, {})[file.stem] = first_comment(file)
    return found


def first_comment(file: Path) -> str:
    """The first line that says what the file is for."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line.removeprefix("# ").split("`dsmath")[0].rstrip(" :")
    return ""
