"""The object store's own faults: a store that says nothing is told of, and nothing waits for it for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from unittest.mock import AsyncMock, Mock, patch
from uuid import uuid4

import pytest

from liveserver.errors import StoreUnavailable
from liveserver.models.ids import UploadId
from liveserver.models.uploads import UploadStatus
from liveserver.services.uploads import Uploads
from liveserver.storage import s3
from liveserver.storage.s3 import Facts, ObjectStore


class _Silent:
    """A store that takes connections, and what is sent unless it is deaf, and never answers."""

    def __init__(self) -> None:
        self.deaf = False
        self.heard = bytearray()
        self.heard_more = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.deaf:
            return
        while some := await reader.read(1000):
            self.heard += some
            self.heard_more.set()

    async def hear(self, wanted: bytes) -> None:
        while wanted not in self.heard:
            self.heard_more.clear()
            await self.heard_more.wait()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[tuple[_Silent, ObjectStore]]:
    keeper = _Silent()
    async with await asyncio.start_server(keeper.meet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ObjectStore.open(
            endpoint=f"http://127.0.0.1:{port}",
            public_endpoint="",
            bucket="course",
            region="us-east-1",
            access_key="live",
            secret_key="secret",
        ) as store:
            yield keeper, store
        keeper.hang_up()


@pytest.mark.parametrize(
    "question",
    [
        lambda store: store.facts("a"),
        lambda store: store.parts("a", "1"),
        lambda store: store.begin_multipart("a", "video/mp4"),
        lambda store: store.abort_multipart("a", "1"),
        lambda store: store.delete(["a"]),
        lambda store: store.ping(),
    ],
)
async def test_a_question_to_a_silent_store_is_given_up(
    silent: tuple[_Silent, ObjectStore], question: Callable[[ObjectStore], Awaitable[object]]
) -> None:
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable):
            await question(silent[1])


async def test_an_object_is_sent_without_waiting_to_be_asked_for_it(
    silent: tuple[_Silent, ObjectStore],
) -> None:
    keeper, store = silent
    sending = asyncio.create_task(store.put("a", b"the whole of it", "text/plain"))
    async with asyncio.timeout(10):
        await keeper.hear(b"the whole of it")
    assert not sending.done(), "nobody said that it arrived"
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_an_object_that_is_not_taken_is_given_up(
    silent: tuple[_Silent, ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_AT_MOST", 0.5)
    keeper, store = silent
    keeper.deaf = True
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable):
            await store.put("a", bytes(32 << 20), "video/mp4")


async def test_a_copy_that_could_not_be_looked_at_is_thrown_away() -> None:
    """The upload goes on, and the next try makes another."""
    store = AsyncMock(ObjectStore)
    store.facts.side_effect = [Facts(size=3, content_type="text/plain"), StoreUnavailable()]
    uploads = Uploads(Mock(), store, Mock(), screens_files=False)
    upload = Mock(status=UploadStatus.UPLOADING, multipart_id=None, owner_id="o", extension="txt", key="k")
    with patch.object(Uploads, "_own", AsyncMock(return_value=upload)), pytest.raises(StoreUnavailable):
        await uploads.complete(Mock(), UploadId(uuid4()))
    (copied,) = store.copy.await_args_list
    store.delete.assert_awaited_once_with([copied.args[1]])
