"""The peers whose numbers ours must equal, imported side by side: TRL 1.16.0, TRL 1.12.0 and verl 0.9.1.

`bash .ci/oracles` puts them into the active virtual environment; then `pytest -m oracle -n 0 tests/oracles` runs this
folder and ends with a table of the largest differences. Without a peer its tests are skipped.

TRL 1.12.0, the last release with PPO, cannot be installed beside 1.16.0. It lies, without dependencies, in the folder
`trl_1_12` of the virtual environment, or where DSMATH_TRL_1_12 says, and is imported under the name `trl_1_12`: its
modules find each other by relative imports.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

INSTALL = "install the peers with `bash .ci/oracles`"


@pytest.fixture(scope="session")
def trl() -> ModuleType:
    """TRL 1.16.0."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    peer = pytest.importorskip("trl", reason=f"needs trl 1.16.0: {INSTALL}", exc_type=ImportError)
    return _of_version(peer, peer.__version__, "1.16.0")


@pytest.fixture(scope="session")
def verl() -> ModuleType:
    """verl 0.9.1's `core_algos`."""
    core_algos = pytest.importorskip(
        "verl.trainer.ppo.core_algos", reason=f"needs verl 0.9.1: {INSTALL}", exc_type=ImportError
    )
    return _of_version(core_algos, sys.modules["verl"].__version__, "0.9.1")


@pytest.fixture(scope="session")
def trl_ppo(trl: ModuleType) -> ModuleType:
    """TRL 1.12.0's `experimental.ppo.ppo_trainer`."""
    folder = Path(os.environ.get("DSMATH_TRL_1_12", Path(sys.prefix) / "trl_1_12"))
    if not (folder / "trl-1.12.0.dist-info").is_dir():  # its own __version__ would be the installed package's
        pytest.skip(f"needs trl 1.12.0 in {folder} (DSMATH_TRL_1_12): {INSTALL}")
    package = folder / "trl"
    spec = importlib.util.spec_from_file_location(
        "trl_1_12", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["trl_1_12"] = module
    spec.loader.exec_module(module)
    return importlib.import_module("trl_1_12.experimental.ppo.ppo_trainer")


def _of_version(peer: ModuleType, found: str, wanted: str) -> ModuleType:
    if found != wanted:
        pytest.skip(f"needs {peer.__name__.partition('.')[0]} {wanted}, found {found}: {INSTALL}")
    return peer


class Agreement:
    """Asserts that two results agree, relative to the largest number of the peer's, and remembers by how much."""

    def __init__(self, record: Callable[[str, Any], None]) -> None:
        self.record = record

    def values(self, function: str, peer: str, ours: Any, theirs: Any, *, tolerance: float = 1e-6) -> None:
        """Two tensors or numbers."""
        self._compare(function, peer, "value", ours, theirs, tolerance=tolerance)

    def losses(
        self,
        function: str,
        peer: str,
        ours: Callable[..., Tensor],
        theirs: Callable[..., Tensor],
        *at: Tensor,
        tolerance: float = 1e-6,
    ) -> None:
        """Two losses as functions of the same tensors: their values, and their gradients by every tensor."""
        results = []
        for loss in (ours, theirs):
            leaves = [tensor.detach().clone().requires_grad_() for tensor in at]
            value = loss(*leaves)
            value.backward()
            results.append((value.detach(), [leaf.grad for leaf in leaves]))
        (our_value, our_gradients), (their_value, their_gradients) = results
        self._compare(function, peer, "value", our_value, their_value, tolerance=tolerance)
        for our_gradient, their_gradient in zip(our_gradients, their_gradients, strict=True):
            self._compare(function, peer, "gradient", our_gradient, their_gradient, tolerance=tolerance)

    def _compare(self, function: str, peer: str, what: str, ours: Any, theirs: Any, *, tolerance: float) -> None:
        ours, theirs = (torch.as_tensor(result, dtype=torch.float64) for result in (ours, theirs))
        assert ours.shape == theirs.shape, f"{function}: ours {tuple(ours.shape)}, {peer}'s {tuple(theirs.shape)}"
        assert ours.isfinite().all(), f"{function}: ours has a {what} that is not finite"
        assert theirs.isfinite().all(), f"{function}: {peer} has a {what} that is not finite"
        difference = ((ours - theirs).abs().max() / (theirs.abs().max() or 1.0)).item()
        self.record("oracle", (function, peer, what, difference))
        assert difference <= tolerance, f"{function}: {what} differs from {peer}'s by {difference:.2e}"


@pytest.fixture
def agree(record_property: Callable[[str, Any], None]) -> Agreement:
    """Compares with a peer."""
    return Agreement(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The largest difference of every function from every peer, over all tests."""
    largest: dict[tuple[str, str], dict[str, float]] = {}
    for report in terminalreporter.getreports("passed"):
        for name, entry in report.user_properties:
            if name == "oracle" and report.when == "call":
                function, peer, what, difference = entry
                row = largest.setdefault((function, peer), {})
                row[what] = max(row.get(what, 0.0), difference)
    if largest:
        terminalreporter.section("largest differences from the peers, relative to the largest number")
        terminalreporter.write_line(f"{'function':44} {'peer':12} {'value':>9} {'gradient':>9}")
        for (function, peer), row in sorted(largest.items()):
            cells = (f"{row[what]:9.1e}" if what in row else f"{'':9}" for what in ("value", "gradient"))
            terminalreporter.write_line(f"{function:44} {peer:12} {' '.join(cells)}")
