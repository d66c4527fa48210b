"""Signing in with a token: the cookie, who may look, and that other sites cannot act in a visitor's name."""

from collections.abc import Iterator

import httpx
import pytest

from streamledger.postgres.connection import Database
from streamledger.settings import Secret, Settings
from tests.acceptance.page.server import serving

PAGES = (
    "/",
    "/streams",
    "/streams/x",
    "/sessions",
    "/sessions/1",
    "/system",
    "/audit",
    "/audit/1",
    "/changes",
    "/search?q=1",
)


@pytest.fixture
def client(database: Database) -> Iterator[httpx.Client]:
    tokens = Secret("anna:read:anna-secret,root:admin:root-secret")
    with serving(database, Settings(api_tokens=tokens)) as address, httpx.Client(base_url=address) as opened:
        yield opened


def sign_in(client: httpx.Client, token: str, **more: str) -> httpx.Response:
    return client.post("/sign-in", data={"token": token, "next": "/system", **more})


def test_without_signing_in_every_page_leads_to_the_form(client: httpx.Client) -> None:
    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in?next=%2F")
    assert client.get("/sign-in").status_code == 200
    assert client.get("/static/page.css").status_code == 200


def test_a_token_becomes_a_cookie_that_is_not_the_token(client: httpx.Client) -> None:
    answer = sign_in(client, "anna-secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/system")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "secret" not in cookie
    page = client.get("/system")
    assert page.status_code == 200
    assert "Signed in as anna" in page.text
    assert "secret" not in page.text


def test_a_wrong_token_is_told_and_gives_nothing(client: httpx.Client) -> None:
    answer = sign_in(client, "guess")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert client.get("/").status_code == 303


def test_signing_out_ends_it(client: httpx.Client) -> None:
    sign_in(client, "anna-secret")
    assert client.get("/").status_code == 200
    assert client.post("/sign-out").status_code == 303
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/language"])
def test_a_form_of_another_site_is_refused(client: httpx.Client, path: str, headers: dict[str, str]) -> None:
    sign_in(client, "anna-secret")
    assert client.post(path, data={"token": "root-secret", "to": "zh"}, headers=headers).status_code == 403
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("target", ["//evil.example.com", "/\\evil.example.com", "https://evil.example.com"])
def test_signing_in_never_leads_to_another_host(client: httpx.Client, target: str) -> None:
    assert sign_in(client, "anna-secret", next=target).headers["location"] == "/"


def test_the_json_interface_takes_the_bearer_token_alone(client: httpx.Client) -> None:
    sign_in(client, "anna-secret")
    assert client.get("/v1/sessions").status_code == 401


def test_without_tokens_nobody_has_to_sign_in(database: Database) -> None:
    with serving(database) as address:
        assert httpx.get(address + "/").status_code == 200
