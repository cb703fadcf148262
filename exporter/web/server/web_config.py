"""The web config file: the format of Prometheus' exporter-toolkit, read into WebSettings.

Everything that the toolkit accepts is accepted, with these differences:

- What Python's ssl cannot do is an error: client certificates that are asked for but not
  checked, more than one curve, TLS 1.0 and 1.1.
- `tls_server_config` with any key in it needs a certificate and a key; the toolkit serves plain
  http when only such keys as `min_version` are given.
- Checking client certificates needs a client CA; the toolkit would trust every public authority.
- A bcrypt cost above MAX_BCRYPT_COST is an error.

As in the toolkit, the suites of TLS 1.3 may be named in `cipher_suites` but cannot be chosen: all
of them are always offered. `http2` is accepted and has no effect: HTTP/1.1 is served.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo

from exporter.config.base import Model
from exporter.config.document import Document, read_document
from exporter.config.errors import ConfigError, Mistake, Problem, did_you_mean
from exporter.config.secrets import absolute
from exporter.config.units import parse_duration
from exporter.web.server.passwords import hash_cost
from exporter.web.server.tls import ServerTls, TlsError, TlsParameters, server_tls

MAX_BCRYPT_COST = 18
"""A check takes some 20 s then; a higher cost outlasts every scrape timeout."""


@dataclass(frozen=True, slots=True)
class WebSettings:
    """One web config file, checked and read."""

    tls: ServerTls | None = None
    """None serves plain http."""
    client_sans: frozenset[str] = frozenset()
    """A client certificate must have one of these subject alternative names; empty: any."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """bcrypt hash by user name; empty: no basic auth."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to every response."""
    rate_limit: RateLimit | None = None
    """None lets everything in."""
    files: tuple[Path, ...] = ()
    """The web config file and those it names: it is re-read when any of them changes."""


def load_web_config(file: Path) -> WebSettings:
    """Read and check a web config file; an empty one means neither TLS nor basic auth.

    Raises:
        ConfigError: with every mistake of the file, each with its path and line.
    """
    document = read_document(file)
    raw = {} if document.data is None else document.data
    if not isinstance(raw, dict):
        raise ConfigError([document.problem((), "must be a map of the exporter-toolkit's keys")])
    problems: list[Problem] = []
    config = document.validated(WebFile, raw, problems)
    if config is None:
        raise ConfigError(problems)
    http, section = config.http_server_config, config.tls_server_config
    headers, limit = http.headers or {}, config.rate_limit
    return WebSettings(
        tls=_tls(section, document) if section.given else None,
        client_sans=frozenset(section.client_allowed_sans or ()),
        users={name: secret.get_secret_value() for name, secret in config.basic_auth_users.items()},
        headers={name: value for name, value in headers.items() if value},
        rate_limit=limit if limit.interval else None,
        files=(file.absolute(), *section.files),
    )


# --- the format -----------------------------------------------------------------------------


def _readable(path: Path, info: ValidationInfo) -> Path:
    file = absolute(path, info)
    try:
        _read(file)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    return file


def _read(file: Path) -> bytes:
    """Return a PEM file's content.

    Raises:
        ValueError: it is no regular file.
    """
    if file.exists() and not file.is_file():  # a pipe would block
        raise ValueError(f"{file} is no regular file")
    return file.read_bytes()


_BLANK_IS_ABSENT = BeforeValidator(lambda value: None if value == "" else value)
MaybeFile = Annotated[Annotated[Path, AfterValidator(_readable)] | None, _BLANK_IS_ABSENT]
MaybeText = Annotated[str | None, _BLANK_IS_ABSENT]

_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNCHECKED_CLIENT_AUTH = {"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"}


def _client_auth(value: str) -> str:
    if value in _UNCHECKED_CLIENT_AUTH:
        raise ValueError(
            f"{value} asks for client certificates without checking them, which this program "
            "cannot: use RequireAndVerifyClientCert with client_ca_file, or NoClientCert"
        )
    if value not in _CLIENT_AUTH:
        raise ValueError(f"must be {', '.join(_CLIENT_AUTH)}")
    return value


_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}


def _version(value: str) -> str:
    if value in {"TLS10", "TLS11"}:
        raise ValueError(f"{value} is broken and not served: use TLS12 or TLS13")
    if value not in _VERSIONS:
        raise ValueError("must be TLS12 or TLS13")
    return value


_TLS13_SUITES = frozenset(
    {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
)
_TLS12_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""By Go's name of each suite that it deems secure, OpenSSL's name."""


def _suite(value: str) -> str:
    known = [*_TLS12_SUITES, *_TLS13_SUITES]
    if value not in known:
        words = "is not a cipher suite that Go's crypto/tls names as secure"
        raise ValueError("; ".join(filter(None, (words, did_you_mean(value, known)))))
    return value


_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}


def _curves(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(name not in _CURVES for name in value):
        raise ValueError(f"must be one of {', '.join(_CURVES)}")
    if len(value) > 1:
        raise ValueError(
            "this program can be told one curve only: name the one to insist on, or leave the "
            "key out to offer all of them"
        )
    return value


class TlsServerConfig(Model):
    """How https is served."""

    cert: MaybeText = None
    key: Annotated[SecretStr | None, _BLANK_IS_ABSENT] = None
    client_ca: MaybeText = None
    cert_file: MaybeFile = None
    key_file: MaybeFile = None
    client_ca_file: MaybeFile = None
    client_auth_type: Annotated[
        Annotated[str, AfterValidator(_client_auth)] | None, _BLANK_IS_ABSENT
    ] = None
    client_allowed_sans: tuple[str, ...] | None = Field(None, min_length=1)
    min_version: Annotated[str, AfterValidator(_version)] = "TLS12"
    max_version: Annotated[str, AfterValidator(_version)] = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(_suite)], ...] | None = None
    prefer_server_cipher_suites: bool = True
    curve_preferences: Annotated[tuple[str, ...], AfterValidator(_curves)] | None = None

    @property
    def given(self) -> bool:
        """Whether any key is set: then TLS is served."""
        return any(getattr(self, name) not in (None, ()) for name in self.model_fields_set)

    def _mistakes(self) -> Iterator[Mistake]:
        if not self.given:
            return
        for key in ("cert", "key", "client_ca"):
            inline, file = getattr(self, key), getattr(self, f"{key}_file")
            if inline and file:
                yield (key,), f"give only one of {key}, {key}_file"
            elif not (inline or file) and key != "client_ca":
                yield (), f"give one of {key}, {key}_file"
        if _VERSIONS[self.min_version] > _VERSIONS[self.max_version]:
            yield ("min_version",), f"is above max_version, which is {self.max_version}"
        only_tls13 = self.cipher_suites and _TLS13_SUITES.issuperset(self.cipher_suites)
        if only_tls13 and self.min_version != "TLS13":
            message = "names no suite of TLS 1.2: add one, or set min_version: TLS13"
            yield ("cipher_suites",), message
        client_ca = self.client_ca or self.client_ca_file
        if self.verify is ssl.CERT_NONE and client_ca:
            message = "needs client_auth_type, as RequireAndVerifyClientCert, to be of use"
            yield ("client_ca" if self.client_ca else "client_ca_file",), message
        if self.verify is not ssl.CERT_NONE and not client_ca:
            message = "needs client_ca_file: else a certificate of any public authority would do"
            yield ("client_auth_type",), message
        if self.client_allowed_sans and self.verify is not ssl.CERT_REQUIRED:
            yield ("client_allowed_sans",), "needs client_auth_type: RequireAndVerifyClientCert"

    @property
    def verify(self) -> ssl.VerifyMode:
        """How the certificates of clients are verified."""
        return _CLIENT_AUTH[self.client_auth_type or "NoClientCert"]

    @property
    def files(self) -> tuple[Path, ...]:
        """The PEM files it names."""
        return tuple(f for f in (self.cert_file, self.key_file, self.client_ca_file) if f)


HeaderName = Literal[
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
]

_HEADER_VALUES: Mapping[HeaderName, tuple[str, ...]] = {
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
}


def _one_line(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("must be one line of plain ASCII text")
    return value


class HttpServerConfig(Model):
    """How HTTP is spoken."""

    http2: bool = True
    headers: Mapping[HeaderName, Annotated[str, AfterValidator(_one_line)]] | None = None

    def _mistakes(self) -> Iterator[Mistake]:
        for header, allowed in _HEADER_VALUES.items():
            if (self.headers or {}).get(header, "") not in {"", *allowed}:
                yield ("headers", header), f"must be {' or '.join(allowed)}"


def _interval(value: object) -> float:
    # Compared only with what can be: lists and maps have no hash, and False is 0.
    if isinstance(value, int | float | str) and value in (0, "0") and value is not False:
        return 0.0
    if not isinstance(value, str):
        raise ValueError("must be a duration, as 100ms or 1s; 0 lets everything in")  # noqa: TRY004 - pydantic wants ValueError
    return parse_duration(value)


class RateLimit(Model):
    """How many requests are let in, over all clients."""

    interval: Annotated[float, BeforeValidator(_interval)] = 0.0
    """Seconds after which one more request is let in; 0 lets everything in."""
    burst: int = 0
    """Requests let in at once after a quiet time."""

    def _mistakes(self) -> Iterator[Mistake]:
        if self.interval and self.burst < 1:
            yield ("burst",), "must be at least 1, else no request is ever let in"


def _user_name(value: str) -> str:
    if ":" in value:
        raise ValueError("a user name must not hold a colon: basic auth ends the name there")
    return value


def _bcrypt_hash(value: SecretStr) -> SecretStr:
    cost = hash_cost(value.get_secret_value())
    if cost > MAX_BCRYPT_COST:
        raise ValueError(
            f"has the bcrypt cost {cost}, too slow for any scrape: use at most {MAX_BCRYPT_COST}"
        )
    return value


class WebFile(Model):
    """The web config file as it is written."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Mapping[
        Annotated[str, AfterValidator(_user_name)],
        Annotated[SecretStr, AfterValidator(_bcrypt_hash)],
    ] = {}
    rate_limit: RateLimit = RateLimit()


# --- the PEM files ----------------------------------------------------------------------------

_KEY_OF_FIELD = {"ciphers": "cipher_suites", "curve": "curve_preferences", "certificate": "cert"}


def _tls(section: TlsServerConfig, document: Document) -> ServerTls:
    """Read the files that the section names, and build the server's TLS.

    Raises:
        ConfigError: a file has changed, or the parts do not fit together.
    """

    def error(key: str, message: str) -> ConfigError:
        named = f"{key}_file" if f"{key}_file" in section.model_fields_set else key
        return ConfigError([document.problem(("tls_server_config", named), message)])

    def pem(key: str, inline: str | None, file: Path | None) -> bytes:
        if file is None:
            return (inline or "").encode()
        try:
            return _read(file)
        except (OSError, ValueError):
            raise error(key, f"{file} changed while it was read") from None

    key = None if section.key is None else section.key.get_secret_value()
    suites = section.cipher_suites or ()
    parameters = TlsParameters(
        certificate=pem("cert", section.cert, section.cert_file),
        key=pem("key", key, section.key_file),
        client_ca=pem("client_ca", section.client_ca, section.client_ca_file),
        client_auth=section.verify,
        minimum=_VERSIONS[section.min_version],
        maximum=_VERSIONS[section.max_version],
        ciphers=tuple(_TLS12_SUITES[suite] for suite in suites if suite not in _TLS13_SUITES),
        prefer_server_ciphers=section.prefer_server_cipher_suites,
        curve=_CURVES[section.curve_preferences[0]] if section.curve_preferences else None,
    )
    try:
        return server_tls(parameters)
    except TlsError as failure:
        raise error(_KEY_OF_FIELD.get(failure.field, failure.field), str(failure)) from None
