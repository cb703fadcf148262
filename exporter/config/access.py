"""How a server is reached over HTTP: the login, and how its certificate is checked."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import Field, SecretStr, field_validator
from yarl import URL

from exporter.config.base import Model
from exporter.config.errors import Mistake
from exporter.config.secrets import CaFile, EnvName, SecretFile, resolve_secret


class Credentials(Model):
    """A user name and a password, the latter in one of three forms."""

    username: str = Field(min_length=1)
    """The login."""
    password_file: SecretFile | None = None
    """File that holds the password; a newline at its end does not count."""
    password_env: EnvName | None = None
    """Environment variable that holds the password."""
    password: SecretStr | None = Field(None, validate_default=True)
    """The password itself; better kept in a file."""

    _resolve = field_validator("password")(resolve_secret)

    def _mistakes(self) -> Iterator[Mistake]:
        if self.password is None:
            yield (), "give one of password, password_file, password_env"


class BasicAuth(Credentials):
    """HTTP basic auth."""

    @field_validator("username")
    @classmethod
    def _no_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("must not hold a colon: basic auth ends the user name there")
        return value


_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class TlsConfig(Model):
    """How a server's certificate is checked; by default against the system's authorities."""

    ca_file: CaFile | None = None
    """PEM file of the authorities, or of the self-signed certificate, to trust instead."""
    fingerprint_sha256: str | None = None
    """SHA-256 of the server's certificate; then nothing else about it is checked."""
    insecure_skip_verify: bool = False
    """Accept any certificate: whoever sits in between reads the password."""

    @field_validator("fingerprint_sha256")
    @classmethod
    def _hex(cls, value: str | None) -> str | None:
        if value is None:
            return None
        plain = value.replace(":", "").replace(" ", "").lower()
        if not _FINGERPRINT.fullmatch(plain):
            raise ValueError("must be 64 hexadecimal digits, with or without colons")
        return plain

    def _mistakes(self) -> Iterator[Mistake]:
        given = [name for name in type(self).model_fields if getattr(self, name)]
        if len(given) > 1:
            yield (), f"give only one of {', '.join(given)}"


def plain_url(value: str) -> str:
    """Return `value` if it is an http or https URL without a secret in one of the usual places.

    Raises:
        ValueError: if not. The text never quotes the value: it may hold a password.
    """
    try:
        url = URL(value)
        port = url.port
    except ValueError:
        raise ValueError(_URL_FORM) from None
    # yarl accepts a host with a blank in it.
    if url.scheme not in {"http", "https"} or not url.host or port == 0 or len(value.split()) > 1:
        raise ValueError(_URL_FORM)
    if url.user is not None or url.password is not None:
        raise ValueError("must not hold a user or password: there are keys for them")
    if url.query_string or url.fragment:
        raise ValueError("must not hold a query or fragment")
    return value


def panel_url(url: str) -> str:
    """Return the URL that identifies a panel, however it was written.

    Without the case and a final dot of the host, the scheme's own port, and repeated or final
    slashes. Names are not looked up: two that lead to one address differ.
    """
    written = URL(url)
    host = (written.raw_host or "").rstrip(".").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if written.is_default_port() else f":{written.port}"
    path = re.sub("/+", "/", written.raw_path).rstrip("/")
    return f"{written.scheme}://{host}{port}{path}"


_URL_FORM = "must be http://HOST:PORT or https://HOST:PORT"
