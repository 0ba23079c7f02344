"""The stage `pages`: a crawl's pages as text with its mathematics, each once, without the benchmarks (§2.1)."""

import shutil
from collections.abc import Mapping
from typing import Any

from dsmath.corpus.pages import ExtractShard, PublishShard, write_duplicates, write_facts
from dsmath.corpus.shards import room_for, run_shards, shard_name
from dsmath.progress import Progress
from dsmath.work import Work


def run(work: Work) -> Mapping[str, Any]:
    """Read every shard, find what repeats, publish the rest; a shard that is done stays so whatever happens.

    Raises:
        UserError: for a crawl or a benchmark that cannot be read, and a full disk.
    """
    e = work.experiment
    shards = len(e.crawl.source.build().shards())
    scratch, logs = work.scratch, work.scratch / "logs"
    progress = Progress(work.label, shards, enabled=e.trainer.progress)
    publish = PublishShard(scratch, work.folder)
    with room_for(work.folder):
        if not all(publish.done(shard).exists() for shard in range(shards)):  # else what they are made from may be gone
            progress.start()
            try:
                extract = ExtractShard(e.crawl.source, e.pages, e.decontamination, scratch)
                run_shards(extract, shards, launcher=e.launcher, logs=logs, advance=progress.advance_to)
            finally:
                progress.stop()
            write_duplicates([scratch / "extracted" / shard_name(s) for s in range(shards)], e.pages, scratch)
            run_shards(publish, shards, launcher=e.launcher, logs=logs)
        facts = write_facts(work.folder, scratch, shards)
    # It is as large as the result, and a run that goes on from here needs no more than what is published.
    shutil.rmtree(scratch / "extracted", ignore_errors=True)
    logger = work.tracker.stage(work.label, work.folder)
    logger.forget_after(-1)
    flow = [[row["step"], row["reason"], row["pages"], row["tokens"]] for row in facts.flow]
    logger.log_metrics({"pages": facts.pages, "tokens": facts.tokens, "losses": len(facts.losses)}, 0)
    logger.log_table("flow", ["step", "reason", "pages", "tokens"], flow)
    if facts.losses:
        first = facts.losses[0]
        print(
            f"{work.label}: {len(facts.losses)} parts of WARC files could not be read: {first['where']}: "
            f"{first['what']}"
        )
    return {
        "pages": facts.pages,
        "tokens": facts.tokens,
        "shards": shards,
        "losses": len(facts.losses),
        "records": sum(row["pages"] for row in facts.flow if row["step"] == facts.flow[0]["step"]),
        "contaminated": sum(row["pages"] for row in facts.flow if row["reason"] == "contaminated"),
        "languages": facts.languages,
    }
