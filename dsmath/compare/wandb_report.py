"""A comparison as a W&B report: the tables as text, and live panels of the same runs, grouped by arm and filtered."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dsmath.compare.comparison import Comparison
from dsmath.compare.metrics import COSTS, stage_of
from dsmath.errors import UserError
from dsmath.tracking.naming import STEP, wandb_key

LONGEST_TITLE = 128  # W&B's own limit


def require(sources: Sequence[str]) -> tuple[str, str]:
    """Entity and project of the one W&B project that is compared.

    Raises:
        UserError: when it isn't one, or the library is not installed.
    """
    entity, _, project = sources[0].partition("/")
    if len(sources) > 1 or not project or sources[0].startswith((".", "/", "~")):
        raise UserError(
            f"--report: a report is of one W&B project; expected ENTITY/PROJECT, given {', '.join(sources)}"
        )
    if find_spec("wandb_workspaces") is None:
        raise UserError("--report: the library wandb-workspaces is missing; pip install 'dsmath[report]'")
    return entity, project


def save_report(comparison: Comparison, markdown: str) -> str:
    """Save the report, with `markdown` as its text; its address is returned.

    Raises:
        UserError: when W&B refuses it or cannot be reached.
    """
    import requests
    import wandb

    entity, project = require(comparison.sources)
    found = report(comparison, markdown, entity, project)
    try:
        found.save()
    except (wandb.errors.Error, requests.RequestException, ValueError) as error:
        raise UserError(f"--report: W&B did not take it ({' '.join(str(error).split())})") from None
    return str(found.url)


def report(comparison: Comparison, markdown: str, entity: str, project: str) -> Any:
    """The report before it is saved: a wandb_workspaces `Report`."""
    wr: Any = import_module("wandb_workspaces.reports.v2")  # its names are not typed as public
    expr: Any = import_module("wandb_workspaces.expr")
    groups = list(dict.fromkeys(run.group for run in comparison.runs if run.group))
    runset = wr.Runset(
        entity=entity,
        project=project,
        name=comparison.title,
        groupby=[f"config.{wandb_key(key)}" for key in comparison.by],
        filters=[expr.Metric("Group").isin(groups)] if groups else [],
    )
    metrics = [table.metric for table in comparison.metrics]
    costs = [f"{stage}/{name}" for stage in dict.fromkeys(map(stage_of, metrics)) for name in COSTS]
    known = {name for run in comparison.runs for name in run.finals}
    columns: list[Any] = [wr.Config(wandb_key(key)) for key in comparison.by]
    columns += [wr.SummaryMetric(name) for name in [*metrics, *(c for c in costs if c in known)]]
    curves = [panel.metric for panel in comparison.curves if panel.x == STEP]
    panels = [
        *(wr.BarPlot(title=name, metrics=[name]) for name in metrics),
        *(_line_plot(wr, name) for name in curves),
        wr.ParallelCoordinatesPlot(columns=[wr.ParallelCoordinatesPlotColumn(metric=each) for each in columns]),
    ]
    return wr.Report(
        entity=entity,
        project=project,
        title=comparison.title[:LONGEST_TITLE],
        description=f"by {', '.join(comparison.by)}" if comparison.by else "",
        width="fluid",
        blocks=[wr.MarkdownBlock(markdown), wr.PanelGrid(runsets=[runset], panels=panels)],
    )


def _line_plot(wr: Any, metric: str) -> Any:
    stage = metric.partition("/")[0]
    return wr.LinePlot(
        title=metric, x=f"{stage}/{STEP}", y=[metric], groupby_aggfunc="mean", groupby_rangefunc="stderr"
    )
