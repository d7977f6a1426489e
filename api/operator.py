"""The operator's own listener: is the process alive, is it ready, what are its figures."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[None]]


def application(checks: Mapping[str, Check]) -> web.Application:
    """Return the admin listener's application; each check raises when its part is away."""

    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_request: web.Request) -> web.Response:
        parts = {}
        for name, check in checks.items():
            try:
                await check()
            except Exception as error:
                parts[name] = type(error).__name__
            else:
                parts[name] = "ok"
        ready = all(state == "ok" for state in parts.values())
        return web.json_response({"ready": ready, "parts": parts}, status=200 if ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
