"""The explorer: Swagger UI with our own document, from this server alone.

The package `swagger_ui_bundle` carries Swagger UI 4, which reads OpenAPI 3.0 (3.1 came with version 5), so it shows the
3.0.3 document. Nothing is fetched from elsewhere: no script, style, font, icon or validator; the content security policy
has the browser hold to that.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

DOCUMENT_PATH: Final = "/openapi-3.0.json"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE: Final = b"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Shanraq API explorer</title>
    <link rel="icon" type="image/png" href="/explorer/favicon-32x32.png" sizes="32x32">
    <link rel="stylesheet" href="/explorer/swagger-ui.css">
    <link rel="stylesheet" href="/explorer/explorer.css">
  </head>
  <body>
    <div id="explorer"></div>
    <noscript>The explorer needs JavaScript; the document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
    <script src="/explorer/swagger-ui-bundle.js"></script>
    <script src="/explorer/explorer.js"></script>
  </body>
</html>
"""

# validatorUrl null: Swagger UI would send the address of the document to a public validator.
_SCRIPT: Final = b"""SwaggerUIBundle({
  url: "/openapi-3.0.json",
  dom_id: "#explorer",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""

_STYLE: Final = b"html { box-sizing: border-box; overflow-y: scroll; }\nbody { margin: 0; background: #fafafa; }\n"

_MEDIA_TYPES: Final = {
    "explorer.css": "text/css; charset=utf-8",
    "explorer.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}


@lru_cache
def asset(name: str) -> bytes:
    """Return a file of the page; raise NotFoundException (404) for a name that is none."""
    if name not in _MEDIA_TYPES:
        raise NotFoundException
    if name == "explorer.js":
        return _SCRIPT
    if name == "explorer.css":
        return _STYLE
    # Imported here as it is only needed where the explorer is looked at.
    from swagger_ui_bundle import swagger_ui_path  # noqa: PLC0415

    return (Path(swagger_ui_path) / name).read_bytes()


def explorer_routes() -> list[ControllerRouterHandler]:
    """Return the page and its files."""
    opt = {"public": True, "unlimited": True}

    @get("/explorer", opt=opt, include_in_schema=False, media_type="text/html; charset=utf-8", sync_to_thread=False)
    def show_explorer() -> Response[bytes]:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return Response(_PAGE, headers=headers, media_type="text/html; charset=utf-8")

    @get("/explorer/{name:str}", opt=opt, include_in_schema=False, media_type="text/css", sync_to_thread=False)
    def show_asset(name: FromPath[str]) -> Response[bytes]:
        content = asset(name)
        return Response(content, headers={"Cache-Control": "public, max-age=86400"}, media_type=_MEDIA_TYPES[name])

    return [show_explorer, show_asset]
