# Three images from one file: --target operator, backend or program.
ARG BASE_IMAGE=python:3.12-slim
ARG BUILD_IMAGE=${BASE_IMAGE}

# Packages are installed from outside into environments that have no pip themselves.
FROM ${BUILD_IMAGE} AS build
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/qonverge \
    && echo /opt/project > "$(/opt/qonverge/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
ENV PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source

FROM build AS operator-packages
COPY requirements/operator.txt requirements/
RUN /build/bin/pip --python /opt/qonverge/bin/python install --require-hashes \
    -r requirements/operator.txt

FROM build AS backend-packages
COPY requirements/backend.txt requirements/
RUN /build/bin/pip --python /opt/qonverge/bin/python install --require-hashes -r requirements/backend.txt

FROM build AS program-packages
COPY requirements/program.txt requirements/
RUN /build/bin/pip --python /opt/qonverge/bin/python install --require-hashes -r requirements/program.txt

# The project is in a folder of its own: a change of code replaces this small layer only.
FROM build AS project
COPY requirements/build.txt requirements/
RUN /build/bin/pip install --require-hashes -r requirements/build.txt
COPY LICENSE README.md pyproject.toml ./
COPY operator operator
RUN /build/bin/pip install --no-deps --no-build-isolation --target /opt/project .

FROM ${BASE_IMAGE} AS base
# What runs here installs nothing.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    /usr/lib/python3*/ensurepip /usr/share/python-wheels
# Some base images leave out the bytecode of Python's own library. Nothing can be written in a pod, so that each of its
# processes would compile what it imports; what is there already is left as it is.
RUN python3 -c 'import compileall, re, sysconfig; compileall.compile_dir(sysconfig.get_path("stdlib"), quiet=2, rx=re.compile(r"/(dist-packages|site-packages|idlelib|lib2to3|test|tests)/"))'
ENV PATH=/opt/qonverge/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /opt/project

FROM base AS operator
COPY --from=operator-packages /opt/qonverge /opt/qonverge
COPY --from=project /opt/project /opt/project
USER 65532:65532
ENTRYPOINT ["python", "-m", "qonverge.controller"]

FROM base AS backend
COPY --from=backend-packages /opt/qonverge /opt/qonverge
COPY --from=project /opt/project /opt/project
USER 65532:65532
ENTRYPOINT ["python", "-m", "qonverge.backend"]

FROM base AS program
COPY --from=program-packages /opt/qonverge /opt/qonverge
COPY --from=project /opt/project /opt/project
USER 65532:65532
