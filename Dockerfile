# One image for every role: the argument says which (serve, work, sweep, migrate, doctor ...).
# Build from a checkout: docker build -t vbq-cds .
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/ requirements/
RUN python -m venv /opt/vbq \
 && /opt/vbq/bin/pip install --no-cache-dir --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md ./
COPY schemas/ schemas/
COPY vbq/ vbq/
COPY gateways/ gateways/
COPY workers/ workers/
COPY services/ services/
COPY commands/ commands/
RUN /opt/vbq/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 vbq && useradd --uid 10001 --gid vbq --no-create-home --shell /usr/sbin/nologin vbq \
 && install -d -o vbq -g vbq /var/lib/vbq
COPY --from=build /opt/vbq /opt/vbq
ENV PATH=/opt/vbq/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VBQ_DATA_DIR=/var/lib/vbq
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["vbq"]
CMD ["serve"]
