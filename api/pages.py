"""The web app's files: built once, served as they are, index.html for every page's address."""

from pathlib import Path

from aiohttp import web

_YEAR = "public, max-age=31536000, immutable"


def content_policy(s3_endpoint: str) -> str:
    """Return the policy of our pages: own scripts only, sockets and the store by name.

    The store gives posters (img), segments fetched by hls.js (connect) or by the browser itself (media).
    """
    return (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline';"
        f" img-src 'self' data: blob: {s3_endpoint}; media-src 'self' blob: {s3_endpoint};"
        " font-src 'self' data:;"
        f" connect-src 'self' ws: wss: {s3_endpoint}; worker-src 'self' blob:;"
        " object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def install(app: web.Application, dist: Path, s3_endpoint: str) -> None:
    """Serve a built web app; without one, say how to build it."""
    policy = {"Content-Security-Policy": content_policy(s3_endpoint)}

    async def index(_request: web.Request) -> web.StreamResponse:
        page = dist / "index.html"
        if not page.is_file():
            return web.Response(status=503, text="The web app is not built: run `make web`.", headers=policy)
        return web.FileResponse(page, headers={**policy, "Cache-Control": "no-cache"})

    async def docs(_request: web.Request) -> web.StreamResponse:
        page = dist / "docs.html"
        if not page.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(page, headers={**policy, "Cache-Control": "no-cache"})

    async def asset(request: web.Request) -> web.StreamResponse:
        # One flat folder of hashed names: nothing in the address may climb out of it.
        name = request.match_info["name"]
        file = dist / "assets" / name
        if "/" in name or name.startswith(".") or not file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(file, headers={"Cache-Control": _YEAR})

    async def icon(_request: web.Request) -> web.StreamResponse:
        file = dist / "favicon.svg"
        if not file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(file)

    app.router.add_get("/docs", docs)
    app.router.add_get("/assets/{name}", asset)
    app.router.add_get("/favicon.svg", icon)
    # Not under the doors' own prefixes: there an unknown path or method is theirs to answer.
    app.router.add_get(r"/{path:(?!api(?:/|$)|socket\.io|assets/).*}", index)
