"""The operator's own listener: is the process alive, is it ready, what are its figures."""

from collections.abc import Awaitable, Callable, Iterator, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Check = Callable[[], Awaitable[None]]
Figures = Mapping[str, Mapping[str, float]]  # of each media worker by its name
_PREFIX = "liveserver_media_"
# A figure of a worker, what it is called in /metrics, whether it only grows, and what it says.
_MEDIA = (
    ("rooms", "rooms", False, "Classes with people in them."),
    ("participants", "participants", False, "People who watch or send."),
    ("mirrors", "mirrors", False, "Classes of other workers, shown here as well."),
    ("sent", "packets_sent", True, "Media packets sent to viewers."),
    ("send_dropped", "packets_dropped", True, "Media packets the socket did not take."),
    ("send_waited", "packets_waited", True, "Media packets that waited for the network card."),
    ("asked_again", "packets_asked_again", True, "Packets publishers were asked to send again."),
    ("sent_again", "packets_sent_again", True, "Packets sent again to viewers."),
    ("pipe_dropped", "pipe_packets_dropped", True, "Packets a pipe to another worker did not take."),
    ("ticks", "ticks", True, "Ticks of the worker's clock."),
    ("late_ticks", "late_ticks", True, "Ticks that came more than 20 ms late."),
    ("worst_tick_ms", "worst_tick_milliseconds", False, "The latest tick since the start."),
)


class _Collected(Collector):
    """Figures of the moment, as families of samples."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for figure, name, grows, text in _MEDIA:
            family: CounterMetricFamily | GaugeMetricFamily
            family = (CounterMetricFamily if grows else GaugeMetricFamily)(
                _PREFIX + name, text, labels=["worker"]
            )
            for worker, values in self._figures.items():
                family.add_metric([worker], values[figure])
            yield family


def application(checks: Mapping[str, Check], media: Callable[[], Awaitable[Figures]]) -> web.Application:
    """Return the admin listener's application; each check raises when its part is away, `media` returns the
    figures of the host's media workers that answer.
    """

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
        registry = CollectorRegistry()
        registry.register(_Collected(await media()))
        body = generate_latest() + generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
