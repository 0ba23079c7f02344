"""What low-rank adapters go with, and what they need."""

from dsmath.config.paradigm import Broken
from dsmath.config.schema import Experiment


def adapters(e: Experiment) -> Broken:
    """Settings that adapters lack or have no use for, and what cannot be done to a model that has them."""
    settings = {"rank": e.lora.rank, "alpha": e.lora.alpha, "dropout": e.lora.dropout}
    if e.lora.name == "none":
        for name, value in {**settings, "targets": e.lora.targets or None}.items():
            if value is not None:
                yield f"lora.{name}", f" = {value}: lora=none has no use for it; lora=rank_16 takes it"
        return
    for name, value in settings.items():
        if value is None:
            yield f"lora.{name}", " = null: adapters need it; expected a number, or lora=rank_16, which has it"


def adapted_policy(e: Experiment) -> Broken:
    """What `rl` cannot do with a policy that has adapters."""
    if e.lora.name == "none":
        return
    if e.iteration.refresh_reference:
        yield (
            "iteration.refresh_reference",
            " = true: with adapters the reference is the policy without them, which never changes; use lora=none, or "
            "iteration.refresh_reference=false",
        )
    if e.rollout.name == "vllm":
        yield (
            "rollout",
            " = vllm: it takes a model's own weights, and adapters are beside them; use rollout=transformers, or "
            "lora=none",
        )
