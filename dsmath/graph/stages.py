"""The stages of the paper: what each reads, what it grows from, and where its code is.

`reads` decides a stage's result and is hashed; what is absent here can change freely without rebuilding anything.
`version` is raised by hand when the code's results change.
"""

from dsmath.graph.graph import Stage

_USES = ("hardware", "trainer", "paths")

STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="corpus",
            version=1,
            reads=("seed", "round", "crawl", "corpus"),
            uses=_USES,
            run="dsmath.stages.corpus:run",
            available=False,
        ),
        Stage(
            name="pretrain",
            version=1,
            reads=("seed", "model", "pretrain", "hardware.precision"),
            uses=_USES,
            run="dsmath.stages.pretrain:run",
            available=False,
        ),
        Stage(
            name="sft",
            version=1,
            reads=("seed", "model", "sft", "hardware.precision"),
            uses=_USES,
            run="dsmath.stages.sft:run",
        ),
        Stage(
            name="reward_model",
            version=1,
            reads=("seed", "model", "reward_model", "hardware.precision"),
            uses=_USES,
            run="dsmath.stages.reward_model:run",
            available=False,
        ),
        Stage(
            name="rl",
            version=1,
            reads=(
                *("seed", "model", "source", "reward", "advantage", "kl", "sampling", "algorithm", "rl"),
                "hardware.precision",
            ),
            uses=_USES,
            run="dsmath.stages.rl:run",
        ),
        Stage(
            name="eval",
            version=1,
            reads=(
                *("seed", "model", "eval.size", "eval.samples", "eval.temperature", "eval.max_new_tokens"),
                *("eval.confidence", "eval.problems", "hardware.precision"),
            ),
            uses=(*_USES, "eval.of", "eval.batch_rows"),
            run="dsmath.stages.evaluate:run",
        ),
    )
}
