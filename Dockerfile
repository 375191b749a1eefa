# One image for every process: worker, api and jobs differ by their command.
#
# BASE_IMAGE is any Debian with Python 3.11, so that a machine without a registry can build on a base of its own.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates openjdk-17-jdk-headless \
    && rm -rf /var/lib/apt/lists/*
# what the KCL daemon loads and no more: a quarter of a whole runtime
RUN jlink --strip-debug --no-man-pages --no-header-files --compress=2 --output /opt/java --add-modules \
    java.base,java.desktop,java.instrument,java.logging,java.management,java.naming,java.security.jgss,java.sql,java.xml,jdk.crypto.ec,jdk.unsupported
# the authorities that sign Aurora's certificates
ADD https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem /usr/local/share/aws/rds-global-bundle.pem
RUN chmod 0644 /usr/local/share/aws/rds-global-bundle.pem
WORKDIR /source
COPY setup.cfg pyproject.toml constraints.txt README.md ./
COPY worker worker
COPY docs docs
# amazon_kclpy fetches its jars here, once, and never when a task starts
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt . \
    && /opt/venv/bin/pip uninstall --yes pip setuptools

FROM ${BASE_IMAGE}
COPY --from=build /opt/java /opt/java
COPY --from=build /opt/venv /opt/venv
COPY --from=build /usr/local/share/aws /usr/local/share/aws
COPY scripts /app/scripts
ENV PATH=/opt/venv/bin:/opt/java/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
# an empty volume takes its owner from here; without it a task without rights could not write to /tmp
VOLUME ["/tmp"]
USER 1000:1000
EXPOSE 8080 9102
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request as request; request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["python", "-m", "worker", "daemon"]
