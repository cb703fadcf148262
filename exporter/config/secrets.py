"""Secrets in a config: any `x` may be given as `x`, `x_file` or `x_env`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo

from exporter.config.limits import MAX_SECRET_BYTES


def base_dir(info: ValidationInfo) -> Path:
    """The folder that relative paths of the config start from: the config file's own."""
    context: object = info.context
    return context["base_dir"] if isinstance(context, dict) else Path()


def absolute(path: Path, info: ValidationInfo) -> Path:
    """`path` as seen from the config file's folder."""
    return base_dir(info) / path.expanduser()


def _readable(path: Path, info: ValidationInfo) -> Path:
    path = absolute(path, info)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


FilePath = Annotated[Path, AfterValidator(_readable)]
"""A file that can be read when the config is; relative to the config file."""


def _set_variable(name: str) -> str:
    if name not in os.environ:
        raise ValueError(f"the environment variable {name} is not set")
    return name


EnvName = Annotated[str, AfterValidator(_set_variable)]
"""The name of an environment variable that is set."""


def resolve_secret(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    """Validator of a secret field `x`: takes the value from `x_file` or `x_env` where given.

    The two must stand before `x` in the model, so that they are validated first.
    """
    name = str(info.field_name)
    file, env = (info.data.get(f"{name}_{kind}") for kind in ("file", "env"))
    given = [key for key, v in ((name, value), (f"{name}_file", file), (f"{name}_env", env)) if v]
    if len(given) > 1:
        raise ValueError(f"give only one of {', '.join(given)}")
    if file is not None:
        value = SecretStr(_read(file))
    elif env is not None:
        value = SecretStr(os.environ[env])
    if value is not None and not value.get_secret_value():
        raise ValueError("is empty")
    return value


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(MAX_SECRET_BYTES + 1)
    if len(content) > MAX_SECRET_BYTES:
        raise ValueError(f"{file} is too large for a secret")
    try:
        # Editors end files with a newline that is not part of the password.
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not UTF-8 text") from None
