"""docs/deploy as shipped: a service on its socket, a PostgreSQL beside it, a proxy with TLS and a path."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from streamledger.postgres.embedded import EmbeddedServer
from streamledger.settings import FIELDS
from tests.acceptance.serving import data_directory, end, run, signed_now
from tests.conftest import clone
from tests.deliveries import push_started, push_stopped, screenshot
from tests.drills.activation import Unit
from tests.house.rooms import ROOT
from tests.integration.web.test_below_a_path import followed

DEPLOY = ROOT / "docs" / "deploy"
CADDY = shutil.which("caddy")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ANALYZE = shutil.which("systemd-analyze")
PREFIX = "/ledger"
WAIT_S = 30
SENDER = "127.0.0.5"
"""Not the proxy's own address, 127.0.0.1."""
MAIN = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    include {directory}/site.conf;
}}
"""
GLOBAL = """{{
	admin off
	storage file_system {directory}/caddy
	skip_install_trust
	local_certs
	http_port {plain_port}
	https_port {tls_port}
}}
"""
"""Certificates of its own making, nothing on its usual ports, nothing written elsewhere."""


class Deployed(msgspec.Struct, frozen=True):
    """The address that the world knows, without TLS too, and the certificate by which it is known."""

    url: str
    plain_url: str
    certificate: Path

    def client(self, local_address: str | None = None) -> httpx.Client:
        trusted = ssl.create_default_context(cafile=str(self.certificate))
        transport = httpx.HTTPTransport(verify=trusted, local_address=local_address)
        return httpx.Client(transport=transport, timeout=30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def certified(directory: Path) -> None:
    """A certificate for localhost, signed by itself."""
    asked = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = "-keyout key.pem -out cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(f"{asked} {names}".split(), cwd=directory, check=True, capture_output=True)


def site(directory: Path, server_url: str, tls_port: int, plain_port: int) -> str:
    """docs/deploy/nginx.conf below a path, as its comment says, with this test's names, ports and files."""
    text = (DEPLOY / "nginx.conf").read_text()
    for shipped, here in (
        ("127.0.0.1:8470", server_url.removeprefix("http://")),
        ("listen 443 ssl", f"listen 127.0.0.1:{tls_port} ssl"),
        ("listen 80", f"listen 127.0.0.1:{plain_port}"),
        ("server_name streamledger.example.com", "server_name localhost"),
        ("location /callbacks/", f"location {PREFIX}/callbacks/"),
        ("location / {", f"location {PREFIX}/ {{"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    text = re.sub(r"\n *listen \[::\][^\n]*", "", text)
    text = re.sub(r"/etc/letsencrypt/\S+fullchain.pem", str(directory / "cert.pem"), text)
    return re.sub(r"/etc/letsencrypt/\S+privkey.pem", str(directory / "key.pem"), text)


def caddy_site(server_url: str) -> str:
    """docs/deploy/Caddyfile below a path, as its comment says, with this test's name and server."""
    text = (DEPLOY / "Caddyfile").read_text()
    below = "".join(re.findall(r"^#(\t.*\n)", text, re.MULTILINE))
    assert f"handle {PREFIX}/*" in below
    for shipped, here in (
        ("\nstreamledger.example.com {\n\treverse_proxy 127.0.0.1:8470\n", f"\nlocalhost {{\n{below}"),
        ("reverse_proxy 127.0.0.1:8470", f"reverse_proxy {server_url.removeprefix('http://')}"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    return text


@contextlib.contextmanager
def proxying(command: list[str], directory: Path, tls_port: int) -> Iterator[None]:
    """Returns once it speaks TLS: Caddy listens before it has made its certificate."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with subprocess.Popen(command, env={**os.environ, "HOME": str(directory)}) as proxy:
        try:
            deadline = time.monotonic() + WAIT_S
            while time.monotonic() < deadline:
                assert proxy.poll() is None, f"{command[0]} has ended"
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(("127.0.0.1", tls_port), 1) as connection,
                    anyone.wrap_socket(connection, server_hostname="localhost"),
                ):
                    break
            yield
        finally:
            proxy.terminate()


@contextlib.contextmanager
def nginx(directory: Path, server_url: str, tls_port: int, plain_port: int) -> Iterator[Path]:
    """nginx before the server; the certificate it is known by."""
    assert NGINX is not None
    certified(directory)
    (directory / "site.conf").write_text(site(directory, server_url, tls_port, plain_port))
    (directory / "nginx.conf").write_text(MAIN.format(directory=directory))
    with proxying([NGINX, "-p", str(directory), "-c", str(directory / "nginx.conf")], directory, tls_port):
        yield directory / "cert.pem"


@contextlib.contextmanager
def caddy(directory: Path, server_url: str, tls_port: int, plain_port: int) -> Iterator[Path]:
    """Caddy before the server; the certificate of its own authority."""
    assert CADDY is not None
    file = directory / "Caddyfile"
    own = GLOBAL.format(directory=directory, tls_port=tls_port, plain_port=plain_port)
    file.write_text(own + caddy_site(server_url))
    with proxying([CADDY, "run", "--adapter", "caddyfile", "--config", str(file)], directory, tls_port):
        yield directory / "caddy/pki/authorities/local/root.crt"


BEFORE = {"nginx": (NGINX, nginx), "caddy": (CADDY, caddy)}


@pytest.fixture(scope="module", params=BEFORE)
def deployed(
    request: pytest.FixtureRequest, postgres_server: EmbeddedServer, template_database: str
) -> Iterator[Deployed]:
    installed, proxy = BEFORE[request.param]
    if installed is None:
        pytest.skip("it is not installed (Debian: nginx-light, caddy)")
    tls_port, plain_port = free_port(), free_port()
    url = f"https://localhost:{tls_port}{PREFIX}"
    with (
        clone(postgres_server.dsn, template_database) as database,
        data_directory() as data_dir,
    ):
        unit = Unit(
            data_dir,
            database_url=database.dsn,
            api_tokens="operator:admin:operators-token",
            public_url=url,
            trusted_proxies="127.0.0.1/32",
        )
        service = unit.start()
        try:
            with proxy(data_dir.parent, unit.url, tls_port, plain_port) as certificate:
                yield Deployed(url, f"http://localhost:{plain_port}", certificate)
        finally:
            end(service)
            unit.close()


def signed_in(deployed: Deployed, client: httpx.Client) -> httpx.Response:
    form = {"token": "operators-token", "next": f"{PREFIX}/"}
    return client.post(f"{deployed.url}/sign-in", data=form)


def test_a_callback_comes_through_the_proxy_with_its_senders_address(deployed: Deployed) -> None:
    now_s = int(time.time())
    with deployed.client(SENDER) as client:
        answer = client.post(
            f"{deployed.url}/callbacks/tencent",
            content=signed_now(push_started("through-nginx", "1", now_s)),
            headers={"X-Forwarded-For": "203.0.113.9"},  # which a stranger may say
        )
        assert (answer.status_code, answer.json()) == (200, {"code": 0})
        seen = client.get(
            f"{deployed.url}/v1/deliveries",
            params={"stream_id": "through-nginx", "min_position": answer.headers["streamledger-position"]},
            headers={"Authorization": "Bearer operators-token"},
        ).json()["items"]
    assert [each["source_ip"] for each in seen] == [SENDER]


def test_every_link_of_every_page_works_below_the_path_and_the_cookie_is_secure(deployed: Deployed) -> None:
    with deployed.client() as client:
        cookie = signed_in(deployed, client).headers["set-cookie"]
        assert {"Secure", "HttpOnly", f"Path={PREFIX}"} <= {part.strip() for part in cookie.split(";")}
        at_s = int(time.time()) - 300
        told = (
            signed_now(push_started("room", "11", at_s)),
            signed_now(push_started("room", "11", at_s), key="forged"),
            signed_now(screenshot("room", at_s + 10)),
            signed_now(push_stopped("room", "11", at_s + 60)),
        )
        answers = [client.post(f"{deployed.url}/callbacks/tencent", content=body) for body in told]
        assert [answer.status_code for answer in answers] == [200, 403, 200, 200]
        asked = {"min_position": answers[-1].headers["streamledger-position"]}
        token = {"Authorization": "Bearer operators-token"}
        client.get(f"{deployed.url}/v1/sessions/11", params=asked, headers=token).raise_for_status()
        client.base_url = deployed.url.removesuffix(PREFIX)
        seen = followed(client, PREFIX)
    paths = ("streams", "sessions", "sessions/#", "deliveries/#", "quarantine", "system", "docs")
    assert {f"{PREFIX}/{each}" for each in paths} <= seen
    assert any(each.startswith(f"{PREFIX}/quarantine/") for each in seen)


def test_the_address_without_a_slash_leads_to_the_first_page(deployed: Deployed) -> None:
    with deployed.client() as client:
        client.base_url = deployed.url.removesuffix(PREFIX)
        answer = client.get(PREFIX)
        assert answer.status_code in (301, 303, 307, 308)
        assert answer.headers["location"].removeprefix(str(client.base_url)) == f"{PREFIX}/"


def test_the_largest_body_that_the_server_takes_comes_through_and_a_larger_one_does_not(
    deployed: Deployed,
) -> None:
    largest = int(FIELDS["body_bytes_max"].default)
    told = signed_now(push_started("large", "5", int(time.time())))
    with deployed.client() as client:
        padded = told + b" " * (largest - len(told))
        assert client.post(f"{deployed.url}/callbacks/tencent", content=padded).status_code == 200
        answer = client.post(f"{deployed.url}/callbacks/tencent", content=padded + b" ")
        assert answer.status_code in (413, 502)  # Caddy's, where the server has hung up before it was through


def test_without_tls_it_leads_to_the_same_address_with_it(deployed: Deployed) -> None:
    answer = httpx.get(f"{deployed.plain_url}{PREFIX}/streams?q=x")
    assert answer.status_code == 308
    assert answer.headers["location"].endswith(f"{PREFIX}/streams?q=x")


def test_a_command_elsewhere_reads_it_and_follows_its_feed(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(deployed.certificate))
    with deployed.client() as client:
        body = signed_now(push_started("followed", "2", int(time.time())))
        position = client.post(f"{deployed.url}/callbacks/tencent", content=body).headers[
            "streamledger-position"
        ]
    server = {"server_url": deployed.url, "server_token": "operators-token"}
    followed_to = run("tail", "--after", str(int(position) - 1), "--count", "1", **server)
    assert (followed_to.returncode, "followed 2" in followed_to.stdout) == (0, True), followed_to
    healthy = run("doctor", **server)
    assert "deliveries are stored" in healthy.stdout, healthy


@pytest.mark.skipif(CADDY is None, reason="caddy is not installed (Debian: caddy)")
@pytest.mark.parametrize("handle", ["handle", "handle_path"])
def test_caddy_takes_its_file_with_the_prefix_left_on_and_taken_off(tmp_path: Path, handle: str) -> None:
    assert CADDY is not None
    file = tmp_path / "Caddyfile"
    for text in (
        (DEPLOY / "Caddyfile").read_text(),
        caddy_site("http://127.0.0.1:8470").replace("handle /", f"{handle} /"),
    ):
        file.write_text(text)
        command = [CADDY, "validate", "--adapter", "caddyfile", "--config", str(file)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed (Debian: systemd)")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    assert ANALYZE is not None
    for name in ("streamledger.socket", "streamledger.service"):
        text = (DEPLOY / name).read_text()
        text = text.replace("/opt/streamledger/bin/streamledger", sys.executable)
        (tmp_path / name).write_text(text)
    checked = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(tmp_path / "streamledger.socket")],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in checked.stderr.splitlines() if "streamledger" in line or str(tmp_path) in line]
    assert (checked.returncode, told) == (0, [])
