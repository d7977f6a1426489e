"""A picture that comes as H.264, for who reads it and who does not."""

from typing import Any

from playwright.async_api import Page

from tests.browser.conftest import OpenPage
from tests.browser.taught import enter, looked
from tests.builders import School

# A browser that sends no VP8, as some phones do.
_H264_ONLY = """
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (track, init) {
  const made = add.call(this, track, init);
  const all = RTCRtpSender.getCapabilities('video').codecs;
  if (track.kind === 'video')
    made.setCodecPreferences(all.filter((one) => /H264|rtx/.test(one.mimeType)));
  return made;
};
"""
# A browser that reads no H.264.
_NO_H264 = """
const accept = RTCPeerConnection.prototype.setLocalDescription;
RTCPeerConnection.prototype.setLocalDescription = async function (description) {
  if (!description && this.signalingState === 'have-remote-offer') description = await this.createAnswer();
  if (description?.type !== 'answer') return accept.call(this, description);
  const sdp = description.sdp.replace(/^a=(rtpmap|fmtp|rtcp-fb):(102|103) .*\\r\\n/gm, '')
    .replace(/^(m=video .*) 102 103/gm, '$1');
  return accept.call(this, { type: 'answer', sdp });
};
"""
_CODEC = """async () => {
  const found = [];
  const report = (await window.liveserverClass.stats()) ?? new Map();
  report.forEach((one) => {
    if (one.type === 'inbound-rtp' && one.kind === 'video' && one.framesDecoded > 10)
      found.push([report.get(one.codecId).mimeType, one.frameWidth, one.frameHeight]);
  });
  return found;
}"""


async def _seen_as(page: Page, wanted: list[Any]) -> None:
    await looked(page, _CODEC, lambda seen: bool(seen == [wanted]), 30)


async def test_a_picture_in_h264_is_seen_by_who_can_read_it(school: School, open_page: OpenPage) -> None:
    teacher = await school.register("instructor")
    students = [await school.register() for _ in range(3)]
    course = await school.course(teacher)
    await school.enroll(students, course)
    session = await school.session(teacher, course, seats=3)
    at_desk = await open_page(teacher.email)
    await at_desk.add_init_script(_H264_ONLY)
    await enter(at_desk, school, session, "Enter the class")
    first, late, blind = [await open_page(one.email) for one in students]
    await blind.add_init_script(_NO_H264)
    await enter(first, school, session, "Join the class")
    await _seen_as(first, ["video/H264", 1280, 720])
    await enter(late, school, session, "Join the class")
    await enter(blind, school, session, "Join the class")
    await _seen_as(late, ["video/H264", 1280, 720])
    await blind.get_by_text("cannot show this picture").wait_for(timeout=10_000)
    assert await blind.evaluate(_CODEC) == []
    # Another quality of it, and back.
    await late.set_viewport_size({"width": 640, "height": 500})
    await _seen_as(late, ["video/H264", 640, 360])
    assert await first.evaluate(_CODEC) == [["video/H264", 1280, 720]]
    # VP8 on the same place: one connection, one stream, another format.
    await at_desk.close()
    again = await open_page(teacher.email)
    await enter(again, school, session, "Enter the class")
    await _seen_as(first, ["video/VP8", 1280, 720])
    await _seen_as(blind, ["video/VP8", 1280, 720])
