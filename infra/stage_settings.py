"""Where a stage's settings come from: its own defaults, its file `settings/<stage>.toml`, the command line.

The later ones win. The file is the user's and isn't tracked, so an update meets no file that they edited.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from .config import SETTINGS, ConfigError, DeploymentConfig
from .setting_rules import suggestion

FOLDER = Path(__file__).resolve().parent.parent / "settings"
# `settings/local.toml` is for the run on a machine, which is the stage dev; example.toml is to be copied.
_NO_STAGES = ("example", "local")
STAGE_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "dev": {"leadsApi": "sandbox", "keepData": False, "logRetentionDays": 14},
    "prod": {"keepData": True, "logRetentionDays": 90},
}
# The CDK command line keeps these beside its own "aws:…", "@…" and "…:…" keys.
_CDK_PLAIN_KEYS = frozenset({"acknowledged-issue-numbers", "cli-telemetry"})


def stage_config(context: Mapping[str, object], folder: Path = FOLDER) -> DeploymentConfig:
    """The configuration of the stage that the app's context names. Raises `ConfigError`.

    `-c settings=FILE` names another file than the stage's in `folder`, `-c settings=` none.
    """
    problems = list(_unknown_keys(context))
    stage, file = context.get("stage"), context.get("settings")
    path = Path(str(file)) if file else folder / f"{stage}.toml"
    settings: dict[str, object] = {}
    if file or (file is None and isinstance(stage, str) and path.is_file()):
        settings = _read(path, problems)
    elif problem := _problem_of_a_stage_without_a_file(stage, folder, is_asked_for=file is None):
        problems.append(problem)
    unknown = [key for key in settings if key not in SETTINGS]
    problems += [f"{key} (in {path}) is no setting{suggestion(key, SETTINGS)}" for key in unknown]
    known = {key: value for key, value in settings.items() if key in SETTINGS}
    command_line = {key: value for key, value in context.items() if key in SETTINGS}
    try:
        config = DeploymentConfig.read(
            str(stage), {**STAGE_DEFAULTS.get(str(stage), {}), **known}, command_line
        )
    except ConfigError as error:
        if stage is not None:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return config


def check_place(config: DeploymentConfig, environment: Mapping[str, str]) -> None:
    """Raises `ConfigError` if the CDK's command line works in another account or region than the stage's.

    It gives both to the app by these variables, as the shell's credentials and region have them.
    """
    problems = []
    for name, belongs, variable, then in (
        ("account", config.account, "CDK_DEFAULT_ACCOUNT", "take credentials of that account"),
        ("region", config.region, "CDK_DEFAULT_REGION", f"export AWS_REGION={config.region}"),
    ):
        is_now = environment.get(variable)
        if belongs and is_now and is_now != belongs:
            problems.append(
                f"{config.stage} belongs to {name} {belongs}, but this shell is in {is_now}: {then}"
            )
    if problems:
        raise ConfigError(problems)


def _read(path: Path, problems: list[str]) -> dict[str, object]:
    try:
        # Editors of Windows write a byte order mark.
        settings = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        problems.append(f"there is no file {path}")
    except OSError as error:
        problems.append(f"{path} can't be read: {error.strerror}")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{path} is no TOML in UTF-8: {error}")
    else:
        if isinstance(file := settings.get("certificateAuthorityFile"), str) and file:
            settings["certificateAuthorityFile"] = str(path.parent / file)
        if isinstance(mappings := settings.get("mappings"), list):
            read = (_mapping(each, path.parent, problems) for each in mappings)
            settings["mappings"] = [each for each in read if each is not None]
        return settings
    return {}


def _mapping(given: object, folder: Path, problems: list[str]) -> object:
    """The mapping; a text is the path of a JSON file that holds it, from the settings' folder.

    None if it can't be read.
    """
    if not isinstance(given, str):
        return given
    try:
        return json.loads((folder / given).read_text("utf-8-sig"))
    except OSError as error:
        problems.append(f"the mapping {folder / given} can't be read: {error.strerror}")
    except ValueError as error:
        problems.append(f"the mapping {folder / given} is no JSON: {error}")
    return None


def _unknown_keys(context: Mapping[str, object]) -> Iterator[str]:
    known = {"stage", "settings", *SETTINGS}
    for key in context:
        if key == "stages":
            yield "stages in cdk.json isn't read: write a stage's settings into settings/<stage>.toml"
        elif key not in known and not (
            ":" in key or key.startswith(("@", "aws-cdk")) or key in _CDK_PLAIN_KEYS
        ):
            yield f"{key} is no setting{suggestion(key, known)}"


def _problem_of_a_stage_without_a_file(stage: object, folder: Path, *, is_asked_for: bool) -> str | None:
    files = {path.stem for path in folder.glob("*.toml")}
    stages = sorted({*STAGE_DEFAULTS, *files} - {*_NO_STAGES})
    choices = " or ".join(f"-c stage={name}" for name in stages)
    if stage is None:
        return f"stage is missing; give {choices}"
    if stage not in stages:
        return (
            f"stage is {stage!r}, but must be given as {choices}{suggestion(str(stage), stages)}; "
            f"another stage needs a file settings/<stage>.toml"
        )
    if stage != "dev" and is_asked_for:
        # From another clone, such a deployment would take back the recipients, the mappings, even the ledger.
        return (
            f"{stage} has no file settings/{stage}.toml: put the one there with which it was deployed, "
            "or for a new stage a copy of settings/example.toml; -c settings= takes the defaults"
        )
    return None
