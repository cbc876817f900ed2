"""A server that speaks TLS only, with an ACL user; certificates made on the spot."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Self

import redis as redis_py
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from resqued.system.redis_server import EmbeddedServer

USER, PASSWORD = "worker", "se:cr@t"


class TlsServer:
    """Enter it to start it; `url` is all that a client needs."""

    def __init__(self, folder: Path, binary: Path | None) -> None:
        self._folder = folder / "tls"
        self._folder.mkdir()
        self._binary = binary
        self.url = ""

    def __enter__(self) -> Self:
        certificate, key = make_certificate(self._folder)
        socket = self._folder / "admin.sock"
        self._server = EmbeddedServer.start(
            self._folder / "data",
            binary=self._binary,
            unix_socket=socket,
            options={
                "requirepass": "",  # for the socket of the administrator
                "tls-port": str(free_port()),
                "tls-cert-file": str(certificate),
                "tls-key-file": str(key),
                "tls-ca-cert-file": str(certificate),
                "tls-auth-clients": "yes",
            },
        )
        with redis_py.Redis(unix_socket_path=str(socket)) as admin:
            port = admin.config_get("tls-port")["tls-port"]
            admin.execute_command(
                *("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "&*", "+@all")
            )
        self.url = (
            f"rediss://{USER}:se%3Acr%40t@127.0.0.1:{port}/0?ssl_ca_certs={certificate}"
            f"&ssl_certfile={certificate}&ssl_keyfile={key}"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Return a self-signed certificate for this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([here]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file
