"""`dsmath --cfg job`: what the overrides compose to, checked."""

from collections.abc import Sequence

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dsmath.config.compose import composer
from dsmath.errors import UserError


def print_config(overrides: Sequence[str], *, node: str, resolve: bool, package: str | None) -> None:
    """Print the composed config as YAML: `job` without Hydra's part, `hydra` that part alone, or `all`.

    Raises:
        UserError: for a config that cannot run, or a package that it lacks.
    """
    with composer() as compose:
        config = compose.one(overrides).config
    if node == "hydra":
        shown = OmegaConf.masked_copy(config, ["hydra"])
    elif node == "job":
        shown = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    else:
        shown = config
    try:
        if package:
            part = OmegaConf.select(shown, package)
            if part is None:
                raise UserError(f"--package {package}: the config has no such part")
            shown = OmegaConf.create({package: part})
        if shown is not config:
            shown._set_parent(config)  # interpolations lead to all of it
        print(OmegaConf.to_yaml(shown, resolve=resolve), end="")
    except OmegaConfBaseException as error:
        what = f"--package {package}" if package and not resolve else "--resolve"
        raise UserError(f"{what}: {str(error).splitlines()[0]} (some of Hydra's values exist only in a run)") from None
