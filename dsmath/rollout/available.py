"""Whether what an experiment's engine needs is installed: asked before anything is built, and without importing it."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version

from dsmath.config.schema import Experiment
from dsmath.errors import UserError

VLLM = ((0, 32), (0, 33))  # from the first, below the second, as in the extra
TRANSFORMERS = (5, 24)  # of rollout=continuous: earlier ones take other arguments


def require_engine(e: Experiment) -> None:
    """Raises UserError when the engine that the experiment names cannot be made here."""
    if e.rollout.name == "vllm":
        require_vllm()
    if e.rollout.name == "continuous" and _numbers("transformers") < TRANSFORMERS:
        raise UserError(
            f"rollout=continuous needs transformers {_said(TRANSFORMERS)} or later, and {version('transformers')} is "
            f"here: pip install 'transformers>={_said(TRANSFORMERS)},<6', or use rollout=transformers"
        )


def require_vllm() -> None:
    """Raises UserError when vLLM is not installed, or in a version that this was not written for."""
    install = "pip install 'dsmath[vllm]', or use rollout=transformers"
    if importlib.util.find_spec("vllm") is None:
        raise UserError(f"rollout=vllm needs the package vllm: {install}")
    lowest, beyond = VLLM
    if not lowest <= _numbers("vllm") < beyond:
        raise UserError(
            f"rollout=vllm needs vllm from {_said(lowest)} and below {_said(beyond)}, and {version('vllm')} is here: "
            f"{install}"
        )


def _numbers(package: str) -> tuple[int, ...]:
    """The first two numbers of a package's version; none where it cannot be told."""
    try:
        parts = version(package).split(".")[:2]
    except PackageNotFoundError:
        return ()
    return tuple(int(part) for part in parts if part.isdigit())


def _said(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
