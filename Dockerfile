# skeltools and trainer in a container. With CUDA (the build of PyTorch that pip takes by itself):
#     docker build -t skeltools .
#     docker run --gpus all -v "$PWD:/data" skeltools trainer pretrain --store store.zarr --method aimclr
# For the CPU alone, a tenth of the size; ADDRESS is that of PyTorch's CPU builds, see docs/getting-started.md:
#     docker build -t skeltools:cpu --build-arg EXTRA_INDEX=ADDRESS .
# Without PyTorch, skeltools alone:
#     docker build -t skeltools:light --target light .
FROM python:3.12-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libxcb1 \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY schemas schemas
COPY skeltools skeltools
COPY trainer trainer
COPY docs docs

FROM base AS light
RUN pip install --no-deps . \
    && pip install -c constraints.txt click h5py jinja2 numpy opencv-python pydantic PyYAML rich safetensors scipy zarr
WORKDIR /data
CMD ["skeltools", "--help"]

FROM base AS full
ARG EXTRA_INDEX=
RUN PIP_EXTRA_INDEX_URL="$EXTRA_INDEX" pip install -c constraints.txt '.[plots]'
WORKDIR /data
CMD ["trainer", "--help"]
