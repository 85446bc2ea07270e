# The runtime `python3` for developers, without a station. From the root of the repository:
#
#   docker build -f deploy/docker/python3.Dockerfile -t strongroom-python3 .
#   docker run --rm --network none -v ./mydata:/data:ro -v .:/work:ro strongroom-python3 \
#       run-through ./function.py --arg by=species
#
# The same main program and the same package as on a station. There are no walls
# but those of the container.

ARG BASE=debian:bookworm-slim
FROM ${BASE}
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && echo 'guest:x:1000:1000:guest:/tmp:/bin/sh' >> /etc/passwd \
    && echo 'guest:x:1000:' >> /etc/group
COPY sdk/python/src/strongroom /kit/strongroom
COPY crates/run/runtimes/python3/main_program.py crates/run/runtimes/python3/run_through.py /kit/
RUN chmod -R a+rX,go-w /kit \
    && chmod a+x /kit/run_through.py \
    && ln -s /kit/run_through.py /usr/local/bin/run-through \
    && mkdir /work
USER 1000:1000
WORKDIR /work
CMD ["run-through", "--help"]
