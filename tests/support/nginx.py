"""A real nginx with the configuration that we hand to operators."""

import asyncio
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.app.processes import Child, answers, free_port
from tests.support.product import ROOT

CONFIGURATION = ROOT / "deploy" / "nginx" / "yunzhen.conf"
BINARY = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MISSING = "nginx is not installed: `apt-get install nginx-light` gives it"

_MAIN = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/yunzhen.conf;
}}
"""


def render(folder: Path, hosts: Mapping[str, int], plain_port: int, tls_port: int) -> str:
    """Our configuration with these hosts' ports instead of the example's addresses, and nothing else changed."""
    text = CONFIGURATION.read_text()
    for address, port in zip(("10.0.0.11:8080", "10.0.0.12:8080"), hosts.values(), strict=True):
        text, count = re.subn(re.escape(address), f"127.0.0.1:{port}", text)
        assert count == 2, address
    for old, new in (
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{tls_port} ssl http2;"),
        ("/etc/nginx/tls/consult", f"{folder}/consult"),
        ("/var/log/yunzhen/", f"{folder}/"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


class Nginx:
    """In front of two hosts, by their node's letter; with a certificate of its own for 127.0.0.1."""

    def __init__(self, folder: Path, hosts: Mapping[str, int]) -> None:
        self._folder = folder
        self._hosts = hosts
        self._plain_port = free_port()
        self.port = free_port(taken=[self._plain_port])

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self._folder / "consult.crt"

    @property
    def plain_url(self) -> str:
        return f"http://127.0.0.1:{self._plain_port}"

    @property
    def access_log(self) -> str:
        return (self._folder / "access.log").read_text()

    async def start(self) -> None:
        assert BINARY is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        _certify(self._folder)
        (self._folder / "yunzhen.conf").write_text(render(self._folder, self._hosts, self._plain_port, self.port))
        main = self._folder / "nginx.conf"
        main.write_text(_MAIN.format(folder=self._folder, user="user root;" if os.getuid() == 0 else ""))
        command = [BINARY, "-p", str(self._folder), "-c", str(main), "-e", str(self._folder / "error.log")]
        subprocess.run([*command, "-t", "-q"], check=True, capture_output=True)
        self._child = Child.start("nginx", [*command, "-g", "daemon off;"], log=self._folder / "out.log", folder=self._folder)
        async with asyncio.timeout(10):
            while not await answers(self.port):
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        await self._child.stop(3)


def unchecked() -> ssl.SSLContext:
    """A client's context that takes any certificate: this one is made for the test."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "consult.example.org")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "consult.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "consult.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
