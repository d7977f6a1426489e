# Two stages on one base: build the pages, then only what runs. The server runs as nobody.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS web
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends ca-certificates make python3 python3-venv
WORKDIR /build
COPY Makefile requirements.lock ./
COPY web web
RUN make web

FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.lock .
RUN python3 -m venv .venv \
    && .venv/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY config.toml LICENSE ./
COPY liveserver liveserver
COPY api api
COPY signaling signaling
COPY media media
COPY --from=web /build/web/dist web/dist
RUN .venv/bin/python -m compileall -q liveserver api signaling media && mkdir -m 700 /data && chown nobody:nogroup /data
USER nobody
ENV LIVE_STATE__DIR=/data LIVE_HTTP__HOST=0.0.0.0 PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8080/tcp 50000/udp 50000/tcp
ENTRYPOINT ["/app/.venv/bin/python", "-m", "liveserver"]
CMD ["serve"]
