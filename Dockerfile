# One image for every process: worker, api, jobs and operators' tools differ by their command. The target `load` is
# the same and what the load test draws with, so that nobody else pulls that.
#
# BASE_IMAGE is any Debian 12. Its own Python is used, so that a machine without a registry builds the same image
# on a base that it made itself (`make image`).
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS java
# a slim Debian has no manuals, and the package stops where it cannot link its own
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jdk-headless \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
# what the KCL daemon loads and no more: a quarter of a whole runtime. Debian keeps apart whom it trusts.
RUN jlink --strip-java-debug-attributes --no-man-pages --no-header-files --compress=2 --output /opt/java \
        --add-modules java.base,java.desktop,java.instrument,java.logging,java.management,java.naming,java.security.jgss,java.sql,java.xml,jdk.crypto.ec,jdk.unsupported \
    && cp --dereference --remove-destination /etc/ssl/certs/java/cacerts /opt/java/lib/security/cacerts \
    && /opt/java/bin/java -Xshare:dump

FROM ${BASE_IMAGE} AS runtime
# ca-certificates: whom Python trusts on its way to Redis
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
    && echo 'worker:x:1000:1000::/tmp:/usr/sbin/nologin' >> /etc/passwd \
    && echo 'worker:x:1000:' >> /etc/group

FROM runtime AS tools
RUN apt-get update \
    && apt-get install --yes --no-install-recommends binutils python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/venv
WORKDIR /source

FROM tools AS packages
COPY setup.cfg constraints.txt jars.sha256 ./
# amazon_kclpy fetches the jars of the KCL daemon while it is installed: here, once, and never when a task starts.
# Each must be one that we know, and none may be missing. The secret `authorities` names whom to trust where a
# proxy stands between here and the registries.
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=authorities \
    if [ -e /run/secrets/authorities ]; then \
        export PIP_CERT=/run/secrets/authorities SSL_CERT_FILE=/run/secrets/authorities; fi \
    && python3 -c "import configparser as c; f = c.ConfigParser(); f.read('setup.cfg'); print(f['options']['install_requires'])" \
        > requirements.txt \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --disable-pip-version-check \
        --constraint constraints.txt --requirement requirements.txt \
    && find /opt/venv -name '*.so' -exec strip --strip-unneeded {} + \
    && cd /opt/venv/lib/python3.*/site-packages/amazon_kclpy/jars \
    && sha256sum --check --strict --quiet /source/jars.sha256 \
    && test "$(find . -name '*.jar' | wc -l)" = "$(wc -l < /source/jars.sha256)"
COPY LICENSE README.md pyproject.toml ./
COPY docs docs
COPY scripts scripts
COPY worker worker
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=authorities \
    if [ -e /run/secrets/authorities ]; then export PIP_CERT=/run/secrets/authorities; fi \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --disable-pip-version-check --no-deps .

FROM runtime AS worker
COPY --from=java /opt/java /opt/java
# whom Aurora's certificates are signed by; for a region that the file lacks, the URL of AWS' own
ARG RDS_AUTHORITIES=deploy/rds-authorities.pem
ADD --chmod=0644 ${RDS_AUTHORITIES} /usr/local/share/aws/rds-global-bundle.pem
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/opt/java/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PGSSLROOTCERT=/usr/local/share/aws/rds-global-bundle.pem \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
# a quarter of a start on half a core is Java reading its classes: here once, and never when a task starts
ENV JAVA_ARCHIVE=/opt/java/lib/daemon.jsa
RUN python -m worker archive "$JAVA_ARCHIVE"
# an empty volume takes its owner from here; without it a task without rights could not write to /tmp
VOLUME ["/tmp"]
USER 1000:1000
EXPOSE 8080 9102
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import urllib.request as request; request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["python", "-m", "worker", "daemon"]
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="edu-analytics-worker" \
      org.opencontainers.image.description="Graded attempts once into PostgreSQL, rolling scores into Redis" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

FROM tools AS plots
COPY setup.cfg constraints.txt ./
COPY --from=worker /opt/venv /opt/venv
# what the environment lacks, beside it: the rest is in the image that this goes upon. What a wheel has bundled
# (`*.libs`) was moved about in its pages already and does not load any more when it is stripped.
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=authorities \
    if [ -e /run/secrets/authorities ]; then export PIP_CERT=/run/secrets/authorities; fi \
    && python3 -c "import configparser as c; f = c.ConfigParser(); f.read('setup.cfg'); print(f['options.extras_require']['plots'])" \
        > plots.txt \
    && /opt/pip/bin/pip --python /opt/venv/bin/python install --disable-pip-version-check --prefix /opt/plots \
        --constraint constraints.txt --requirement plots.txt \
    && find /opt/plots -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} + \
    && find /opt/plots -type d -name tests -prune -exec rm -r {} + \
    && rm -r /opt/plots/bin /opt/plots/share

FROM worker AS load
COPY --from=plots /opt/plots /opt/venv

# what is built where no target is named
FROM worker
