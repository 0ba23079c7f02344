"""The stages of the paper: what each reads, what it grows from, and where its code is.

`reads` decides a stage's result and is hashed; what is absent here can change freely without rebuilding anything.
`version` is raised by hand when the code's results change. A `parallel` stage uses all devices of the hardware.
"""

from dsmath.graph.graph import Stage

_USES = ("hardware", "trainer", "paths")
_SAMPLED = ("rollout.name", "rollout.dtype", "rollout.engine")  # how much memory it may take changes no result

STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="pages",
            version=1,
            reads=("crawl", "pages", "decontamination"),
            uses=(*_USES, "launcher"),
            run="dsmath.stages.pages:run",
        ),
        Stage(
            name="corpus",  # a node for each round
            version=1,
            reads=("seed", "corpus", "annotation"),
            uses=(*_USES, "launcher", "crawl.name"),
            run="dsmath.stages.corpus:run",
        ),
        Stage(
            name="tokens",
            version=1,
            reads=("model.policy", "pretrain.sources"),
            uses=(*_USES, "pretrain.mixture"),  # weights matter where they are not 0: then a source is read
            run="dsmath.stages.tokens:run",
        ),
        Stage(
            name="pretrain",
            version=1,
            reads=(
                *("seed", "model", "pretrain.tokens", "pretrain.batch_tokens", "pretrain.sequence_length"),
                *("pretrain.micro_batch_size", "pretrain.gradient_clip", "pretrain.validate_every", "pretrain.mixture"),
                *("pretrain.held_out", "pretrain.module", "pretrain.data", "pretrain.optim", "pretrain.schedule"),
                "hardware.precision",
            ),
            uses=_USES,
            run="dsmath.stages.pretrain:run",
            parallel=True,
        ),
        Stage(
            name="sft",
            version=2,
            reads=("seed", "model", "sft", "lora", "hardware.precision"),
            uses=_USES,
            run="dsmath.stages.sft:run",
            parallel=True,
        ),
        Stage(
            name="samples",
            version=2,
            reads=("seed", "model", "samples", *_SAMPLED, "hardware.precision"),
            uses=_USES,
            run="dsmath.stages.samples:run",
        ),
        Stage(
            name="reward_data",
            version=2,
            reads=("seed", "model", "reward_data", "reward_model.kind", *_SAMPLED, "hardware.precision"),
            uses=(*_USES, "samples"),
            run="dsmath.stages.reward_data:run",
        ),
        Stage(
            name="reward_model",
            version=1,
            reads=("seed", "model", "reward_model", "hardware.precision"),
            uses=(*_USES, "reward_data"),
            run="dsmath.stages.reward_model:run",
            parallel=True,
        ),
        Stage(
            name="rl",
            version=4,
            reads=(
                *("seed", "model", "source", "reward", "advantage", "kl", "value", "iteration", "sampling"),
                *("tools", "algorithm", "rl", "lora", "reward_data.step_mark", *_SAMPLED, "hardware.precision"),
            ),
            uses=(*_USES, "reward_model", "reward_data"),  # part of the reward model's fingerprint
            run="dsmath.stages.rl:run",
            parallel=True,
        ),
        Stage(
            name="answers",
            version=1,
            reads=(
                *("seed", "model", "tools", "eval.benchmarks", "eval.prompt", "eval.prompts_file", "eval.size"),
                *("eval.samples", "eval.temperature", "eval.max_new_tokens", *_SAMPLED, "hardware.precision"),
            ),
            uses=(*_USES, "eval.batch_rows"),
            run="dsmath.stages.answers:run",
        ),
        Stage(
            name="eval",
            version=2,
            reads=("eval.benchmarks", "eval.k", "eval.confidence", "eval.resamples"),
            uses=(*_USES, "eval.of"),
            run="dsmath.stages.evaluate:run",
        ),
    )
}
