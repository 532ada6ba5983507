# syntax=docker/dockerfile:1.7
# paris-node for one volunteer. Build from the repository's root:
#
#   CUDA    docker build -f docker/volunteer.Dockerfile -t paris-volunteer:cuda .
#   CPU     docker build -f docker/volunteer.Dockerfile -t paris-volunteer --build-arg TORCH_INDEX=$TORCH_INDEX .
#
# with TORCH_INDEX set to the address of the CPU wheels that pytorch.org's "Get started" page names (or of another
# CUDA's, or ROCm's). Without it pip's own default is taken, which on Linux is the CUDA build. The driver's libraries
# come from the host (`docker run --gpus all`), the rest of CUDA from torch's wheels: one base image serves all.

# Tag and multi-platform digest. To move on: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PARIS_HOME=/data

# The home is the volume: identity, settings, cache and unfinished work outlive the container.
RUN useradd --uid 10001 --create-home --home-dir /data --shell /usr/sbin/nologin volunteer

WORKDIR /opt/paris
# torch is nine tenths of the bytes and stands in a layer of its own. It alone comes from TORCH_INDEX (--no-deps), so
# that no other package can be taken from there.
COPY constraints.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

# The dependencies' layer is made again when pyproject.toml or the pins change, not with every line of code.
COPY pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt

COPY LICENSE README.md ./
COPY protocol protocol
COPY experts experts
COPY node node
COPY coordinator coordinator
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --no-deps .

USER 10001
WORKDIR /data
# The node's own page, with `join RUN --page --page-host 0.0.0.0`: publish it on your machine alone, and it still asks
# for the token that the node prints.
EXPOSE 7411
VOLUME /data
STOPSIGNAL SIGTERM
# Healthy means: the node answers on its control socket. It starts its own trainer again, and ends with a code and one
# clear line on what it cannot mend; `--restart on-failure` does the rest.
HEALTHCHECK --interval=60s --timeout=20s --start-period=60s \
    CMD ["sh", "-c", "paris-node status --json | grep -q '\"running\": {'"]
ENTRYPOINT ["paris-node"]
CMD ["--help"]
