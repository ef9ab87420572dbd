# The images that examples/argilla/docker-compose.yml names, besides those of bases.sh: made of packages,
# with the names, the users, the variables and the places of the real ones. To be sourced by run.sh.

make_argilla() {
    # The real one is of another Python, so that nothing here may know which.
    make_base argilla/argilla-server:v2.8.0 argilla <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends ca-certificates python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
RUN python3 -m venv /opt/venv \
    && PIP_CERT=/etc/ssl/certs/ca-certificates.crt /opt/venv/bin/pip install -q --no-cache-dir \
        argilla-server==2.8.0 'click<8.2' asyncpg psycopg2-binary==2.9.13
ENV USERNAME="" PASSWORD="" API_KEY="" ARGILLA_HOME_PATH=/var/lib/argilla \
    UVICORN_PORT=6900 UVICORN_APP=argilla_server:app PATH=/opt/venv/bin:$PATH
# Nobody outside of this machine is told of these starts.
ENV HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_OFFLINE=1
RUN useradd -ms /bin/bash argilla && install -d -o argilla -g argilla /var/lib/argilla
VOLUME /var/lib/argilla
WORKDIR /home/argilla
USER argilla
EXPOSE 6900
CMD ["/bin/bash", "start_argilla_server.sh"]
DOCKERFILE
    make_base redis:7 redis <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
DOCKERFILE
    local there
    there=$(tests/servers/elasticsearch.sh)
    mkdir -p "$dir/base-elasticsearch/elasticsearch"
    cp -r "$there"/{home,lib,classes} "$dir/base-elasticsearch/elasticsearch/"
    make_base docker.elastic.co/elasticsearch/elasticsearch:8.17.0 elasticsearch <<'DOCKERFILE'
FROM debian:bookworm-slim
RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*
COPY elasticsearch /usr/share/elasticsearch
WORKDIR /usr/share/elasticsearch
CMD ["java", "-Xms256m", "-Xmx256m", "-cp", "classes:lib/*", "Launch", "home", "9200", "9300", "0.0.0.0"]
DOCKERFILE
}
