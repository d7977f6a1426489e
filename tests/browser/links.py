"""A page whose media goes over a relay: a link that can be made bad."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page

from bench.relay import Link, Relay
from media.worker import advertised
from tests.product import Product

# How many pictures a teacher's page has encoded in each quality.
ENCODED = """async () => {
  const encoded = {};
  (await window.liveserverClass.media.publisher.pc.getStats()).forEach((one) => {
    if (one.type === 'outbound-rtp' && one.rid) encoded[one.rid] = one.framesEncoded;
  });
  return encoded;
}"""
# Every way to the server but the relay's is taken out of what the server says of itself.
_DETOUR = """
const accept = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = function (description) {
  const lines = description.sdp.split('\\r\\n').filter((line) => !line.startsWith('a=candidate:'));
  const sdp = lines.flatMap((line) => line === 'a=end-of-candidates'
    ? ['a=candidate:1 1 udp 2130706431 %s %d typ host', line] : [line]).join('\\r\\n');
  return accept.call(this, { type: description.type, sdp });
};
"""


@asynccontextmanager
async def relayed(page: Page, product: Product) -> AsyncIterator[Relay]:
    """Send a page's media over a relay that loses and delays nothing until it is told to."""
    host = advertised("", "0.0.0.0")[0]
    relay = Relay((host, product.udp_port), down=Link(), up=Link())
    await relay.open(host)
    await page.add_init_script(_DETOUR % (host, relay.port))
    try:
        yield relay
    finally:
        relay.close()
