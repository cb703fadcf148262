"""Secrets in a config: any `x` may be given as `x`, `x_file` or `x_env`.

No message here quotes the value: a password is easily written under the wrong key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr, ValidationInfo, WithJsonSchema


def absolute(path: Path, info: ValidationInfo) -> Path:
    """Return `path` relative to the folder of the config file, which the context names.

    Raises:
        ValueError: it starts with ~ for a user without a home folder.
    """
    context: object = info.context
    base_dir = context["base_dir"] if isinstance(context, dict) else Path()
    try:
        return Path(base_dir, path.expanduser())
    except RuntimeError:
        raise ValueError("starts with ~, but that user has no home folder") from None


LocalPath = Annotated[Path, AfterValidator(absolute)]
"""A path that is relative to the config file; it need not exist."""


def _existing(path: Path, info: ValidationInfo) -> Path:
    file = absolute(path, info)
    try:
        if file.is_file():
            return file
        if file.exists():  # a pipe would block, or be at its end when the config is re-read
            raise ValueError("is not a regular file")
    except OSError as error:
        raise _unreadable(error) from None
    where = "" if path.is_absolute() else " (a relative path starts at the config file's folder)"
    raise ValueError(f"there is no such file{where}")


def _unreadable(error: OSError) -> ValueError:
    return ValueError(f"the file cannot be read: {error.strerror}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(error) from None


def _secret_in(file: Path) -> SecretStr:
    try:
        # Editors end files with a newline that is not part of the password.
        text = _read(file).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    if not text:
        raise ValueError("the file is empty")
    if any(character in text for character in "\r\n\0"):
        raise ValueError("the file holds more than one line, or a NUL: it shall hold the secret")
    return SecretStr(text)


def _secret_file(path: Path, info: ValidationInfo) -> Path:
    file = _existing(path, info)
    _secret_in(file)
    return file


SecretFile = Annotated[Path, AfterValidator(_secret_file), WithJsonSchema({"type": "string"})]
"""A file that holds a secret now; relative to the config file."""


def _ca_file(path: Path, info: ValidationInfo) -> Path:
    file = _existing(path, info)
    if b"-----BEGIN CERTIFICATE-----" not in _read(file):
        raise ValueError("the file holds no certificate in PEM form")
    return file


CaFile = Annotated[Path, AfterValidator(_ca_file), WithJsonSchema({"type": "string"})]
"""A PEM file of certificates; relative to the config file."""


def _secret_from(variable: str) -> SecretStr:
    text = os.environ.get(variable)
    if text is None:
        raise ValueError("names an environment variable that is not set")
    if not text:
        raise ValueError("names an environment variable that is empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("names an environment variable that is not UTF-8 text") from None
    return SecretStr(text)


def _secret_variable(name: str) -> str:
    _secret_from(name)
    return name


EnvName = Annotated[str, AfterValidator(_secret_variable)]
"""The name of an environment variable that holds a secret now."""


def resolve_secret(value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
    """Validate a secret field `x`: its value may come from `x_file` or `x_env`.

    Both must be declared before `x` in the model, so that they are validated first.
    """
    name = str(info.field_name)
    file, env = info.data.get(f"{name}_file"), info.data.get(f"{name}_env")
    forms = {name: value, f"{name}_file": file, f"{name}_env": env}
    given = [form for form, what in forms.items() if what is not None]
    if len(given) > 1:
        raise ValueError(f"give only one of {', '.join(given)}")
    if file is not None:
        return _secret_in(file)
    if env is not None:
        return _secret_from(env)
    if value is not None and not value.get_secret_value():
        raise ValueError("must not be empty")
    return value
