"""The explorer is whole without any other server."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
from swagger_ui_bundle import swagger_ui_path

from shanraq.api.explorer import DOCUMENT_PATH, POLICY, asset

ELSEWHERE = re.compile(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)


class References(HTMLParser):
    """Collects what a page makes the browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.found.extend(value for name in ("src", "href") if (value := names.get(name)))
        self.inline += tag == "style" or (tag == "script" and "src" not in names)


async def test_everything_the_page_needs_comes_from_this_server(client: httpx.AsyncClient) -> None:
    page = await client.get("/explorer")
    references = References()
    references.feed(page.text)

    answers = [await client.get(reference) for reference in references.found]

    assert len(references.found) >= 5
    assert all(reference.startswith("/") and not reference.startswith("//") for reference in references.found)
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert not ELSEWHERE.search(page.content)
    assert references.inline == 0


async def test_the_policy_lets_the_browser_go_nowhere_else(client: httpx.AsyncClient) -> None:
    page = await client.get("/explorer")

    assert page.headers["content-security-policy"] == POLICY
    assert "'unsafe" not in POLICY
    assert "http" not in POLICY


async def test_the_page_shows_the_document_that_this_version_reads(client: httpx.AsyncClient) -> None:
    # Swagger UI reads 3.1 from version 5 on.
    assert "swagger-ui-4." in str(swagger_ui_path)
    assert DOCUMENT_PATH.encode() in asset("explorer.js")

    document = (await client.get(DOCUMENT_PATH)).json()

    assert document["openapi"] == "3.0.3"


def test_our_own_files_name_no_other_server() -> None:
    for name in ("explorer.js", "explorer.css"):
        assert not ELSEWHERE.search(asset(name))
    # A missing null here would have Swagger UI send the document's address to a public validator.
    assert b"validatorUrl: null" in asset("explorer.js")


def test_the_style_sheet_fetches_nothing() -> None:
    fetched = re.findall(rb"url\(\s*[\"']?([^)\"']{1,40})", asset("swagger-ui.css"))

    assert all(reference.startswith(b"data:") for reference in fetched)
    assert b"@import" not in asset("swagger-ui.css")


async def test_no_other_file_can_be_read(client: httpx.AsyncClient) -> None:
    for name in ("swagger-ui.js.map", "..%2f__init__.py", "index.html"):
        answer = await client.get(f"/explorer/{name}")

        assert answer.status_code == 404
