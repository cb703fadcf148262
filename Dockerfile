# syntax=docker/dockerfile:1
# Build:  docker build -t brainycp-exporter .
# Run:    docker run -p 127.0.0.1:9897:9897 -v ./conf:/etc/brainycp-exporter:ro brainycp-exporter
# In conf/config.yaml: web.listen 0.0.0.0:9897. A folder is mounted rather than the file alone,
# so that a reload sees what an editor has replaced.

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/brainycp-exporter
ENV PATH=/opt/brainycp-exporter/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The builder goes into an environment of its own, so that the one that is shipped holds none.
COPY requirements/ requirements/
RUN python -m pip install --no-deps --require-hashes -r requirements/runtime.lock \
    && /usr/local/bin/python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-deps --require-hashes -r requirements/build.lock
COPY pyproject.toml README.md ./
COPY exporter/ exporter/
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && python -m pip install --no-deps /tmp/wheel/*.whl \
    && python -m compileall -q /opt/brainycp-exporter \
    && python -m pip uninstall --yes pip

FROM python:3.12-slim
RUN python -m pip uninstall --yes pip \
    && groupadd --system --gid 9897 exporter \
    && useradd --system --uid 9897 --gid exporter --no-create-home --shell /usr/sbin/nologin exporter \
    && install -d -o exporter -g exporter -m 0750 /var/lib/brainycp-exporter
COPY --from=build /opt/brainycp-exporter /opt/brainycp-exporter
ENV PATH=/opt/brainycp-exporter/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 9897:9897
WORKDIR /var/lib/brainycp-exporter
EXPOSE 9897
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["python", "-m", "exporter.healthcheck", "127.0.0.1:9897"]
ENTRYPOINT ["brainycp-exporter"]
CMD ["run", "--config", "/etc/brainycp-exporter/config.yaml"]
