from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from exporter.config.errors import ConfigError
from exporter.web.server.passwords import hash_password
from exporter.web.server.web_config import RateLimit, WebSettings, load_web_config
from tests.web.server.pki import PAIR, Pki, load


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "{}",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "tls_server_config: {cert_file: '', key_file: '', client_auth_type: ''}\n",
        "basic_auth_users: {}\nrate_limit: {interval: 0, burst: 0}\n",
    ],
)
def test_a_file_that_says_nothing_asks_for_nothing(folder: Path, text: str) -> None:
    settings = load(folder, text)
    assert settings == WebSettings(files=(folder / "web.yaml",))


def test_paths_start_from_the_file_and_every_file_is_watched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    settings = load(
        folder,
        PAIR + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
        "  client_allowed_sans: [a.test, 10.0.0.1]\n",
    )
    names = ("web.yaml", "server.pem", "server.key", "ca.pem")
    assert settings.files == tuple(folder / name for name in names)
    assert settings.client_sans == {"a.test", "10.0.0.1"}
    assert settings.tls is not None
    assert settings.tls.context.verify_mode is ssl.CERT_REQUIRED


def test_inline_pem_serves_like_files(folder: Path) -> None:
    def block(name: str) -> str:
        return "|\n" + "".join(f"    {line}\n" for line in (folder / name).read_text().split("\n"))

    inline = load(
        folder,
        f"tls_server_config:\n  cert: {block('server.pem')}  key: {block('server.key')}"
        f"  client_ca: {block('ca.pem')}  client_auth_type: VerifyClientCertIfGiven\n",
    )
    assert inline.files == (folder / "web.yaml",)
    assert inline.tls is not None
    assert inline.tls.context.verify_mode is ssl.CERT_OPTIONAL


def test_tls_options_reach_the_context(folder: Path) -> None:
    settings = load(
        folder,
        PAIR + "  min_version: TLS12\n  max_version: TLS12\n  prefer_server_cipher_suites: false\n"
        "  curve_preferences: [CurveP384]\n"
        "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n",
    )
    assert settings.tls is not None
    context = settings.tls.context
    assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_2
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    tls12 = [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"]
    assert tls12 == ["ECDHE-RSA-AES256-GCM-SHA384"]


def test_every_suite_of_the_format_is_offered(folder: Path) -> None:
    kinds = ["ECDSA", "RSA"]
    endings = ["AES_128_CBC_SHA", "AES_256_CBC_SHA", "AES_128_GCM_SHA256", "AES_256_GCM_SHA384"]
    endings.append("CHACHA20_POLY1305_SHA256")
    suites = [f"TLS_ECDHE_{kind}_WITH_{ending}" for kind in kinds for ending in endings]
    settings = load(folder, PAIR + f"  cipher_suites: [{', '.join(suites)}]\n")
    assert settings.tls is not None
    assert len(set(settings.tls.parameters.ciphers)) == len(suites)


def test_tls13_suites_alone_go_with_tls13_alone(folder: Path) -> None:
    text = PAIR + "  min_version: TLS13\n  cipher_suites: [TLS_AES_128_GCM_SHA256]\n"
    settings = load(folder, text)
    assert settings.tls is not None
    assert settings.tls.parameters.ciphers == ()


def test_headers_users_and_rate_limit(folder: Path) -> None:
    hashed = hash_password("sesame", cost=4)
    settings = load(
        folder,
        f"basic_auth_users: {{prometheus: {hashed}}}\n"
        "rate_limit: {interval: 100ms, burst: 5}\n"
        "http_server_config:\n  http2: false\n  headers:\n"
        "    X-Frame-Options: deny\n    Strict-Transport-Security: ''\n",
    )
    assert settings.users == {"prometheus": hashed}
    assert settings.rate_limit == RateLimit.model_construct(interval=0.1, burst=5)
    assert settings.headers == {"X-Frame-Options": "deny"}


def test_nothing_secret_shows(folder: Path) -> None:
    hashed = hash_password("sesame", cost=4)
    settings = load(folder, PAIR + f"basic_auth_users: {{prometheus: {hashed}}}\n")
    shown = repr(settings)
    assert hashed not in shown
    assert "PRIVATE" not in shown
    assert "prometheus" not in shown


def test_settings_are_equal_until_a_file_changes(folder: Path, pki: Pki) -> None:
    before = load(folder, PAIR)
    assert load(folder, PAIR) == before
    pki.write_server(folder)
    renewed = load(folder, PAIR)
    assert renewed != before
    assert before.tls is not None
    assert renewed.tls is not None
    assert renewed.tls.parameters.policy == before.tls.parameters.policy


def test_a_file_that_vanishes_after_its_check_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = folder / "server.key"
    real_open = Path.open
    opened: list[Path] = []

    def vanishing_open(path: Path, mode: str = "r") -> object:
        opened.append(path)
        if path == key and opened.count(key) > 1:
            key.unlink()
        return real_open(path, mode)

    (folder / "web.yaml").write_text(PAIR)
    monkeypatch.setattr(Path, "open", vanishing_open)
    with pytest.raises(ConfigError, match=r"3: .*key_file: .*server\.key changed while"):
        load_web_config(folder / "web.yaml")
