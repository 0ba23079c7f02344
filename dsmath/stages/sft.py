"""The stage `sft`: a model fine-tuned on solutions (§3)."""

from collections.abc import Mapping
from typing import Any

from dsmath.models.load import parameter_count
from dsmath.models.lora import with_adapters
from dsmath.randomness import derive_seed
from dsmath.stages.policies import initial_policy, keep_policy
from dsmath.training.fit import fit
from dsmath.work import Work


def run(work: Work) -> Mapping[str, Any]:
    """Train, keep the model, and say how it went."""
    e = work.experiment
    policy = initial_policy(work, e.sft.init)
    parameters = parameter_count(policy.model)
    policy = with_adapters(policy, e.lora, derive_seed(e.seed, "sft", "adapters"))
    data = e.sft.data.build(
        problems=e.sft.problems.build(),
        policy=policy,
        prompt_style=e.model.prompt.style,
        instruction=e.model.prompt.instruction,
        batch_size=e.sft.batch_size,
        sequence_length=e.sft.sequence_length,
        validation_size=e.sft.validation_size,
        seed=e.seed,
    )
    module = e.sft.module.build(
        model=policy.model,
        optim=e.sft.optim.build(),
        schedule=e.sft.schedule,
        steps=e.sft.steps,
        gradient_clip=e.sft.gradient_clip,
        micro_batch_size=e.sft.micro_batch_size,
        validate_every=e.sft.validate_every,
        seed=e.seed,
    )
    fit(work, module, data, shown=("loss", "validation_loss"))
    keep_policy(policy, work.folder)
    return {
        "parameters": parameters,
        "loss": module.last_metrics.get("loss"),
        "validation_loss": module.last_metrics.get("validation_loss"),
        **module.cost(),
    }
