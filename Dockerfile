# The sidecar as one file on a slim Node: no npm, no sources, no dev dependencies, no root.
# docker build -t outrigger .

FROM node:26.10.0-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# Without scripts: this image brings the runtime that the package "node" would fetch.
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src ./src
COPY plugins ./plugins
COPY deploy/bundle.ts deploy/code-cache.ts deploy/health.ts deploy/launch.ts deploy/node-flags.ts deploy/program.ts \
     deploy/sbom.ts ./deploy/
# off: two builds give the same image, which starts a third slower.
ARG BYTECODE=on
RUN node deploy/bundle.ts dist --bytecode=$BYTECODE

FROM node:26.10.0-slim
LABEL org.opencontainers.image.title="outrigger" \
      org.opencontainers.image.description="A sidecar proxy: one policy in Redis, enforced beside every service" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing here installs anything any more.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
           /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-*
WORKDIR /app
COPY LICENSE ./
COPY --from=build /build/dist/ ./
# One arena of malloc: each of V8's compiler threads else keeps its own at the size of its greatest work, some 40 MiB.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
# A number, so that Kubernetes can see that it is not root. Nothing is written: the root file system may be read-only.
USER 65532:65532
EXPOSE 8080 9901
STOPSIGNAL SIGTERM
# Without --start-interval, which builders before Docker 25 and buildah 1.33 stop at.
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "/app/health.cjs"]
# A young generation of 8 MiB a half: with 4 the full chain under full load cost a tenth more CPU, with 2 a fifth, with 1
# two thirds. --expose-gc lets the sidecar collect once after its start, which takes idle memory from 92 to 73 MiB with any.
# --no-memory-reducer: V8 else collects in ten quiet seconds what optimised code hangs on, and the next burst costs twice to
# ten times the CPU; the price is about 15 MiB more resident after load. --heap-growing-percent=50:
# V8 else lets the old generation grow to several times what lives before it collects; 15 to 40 MiB less under load, and
# no difference in CPU that could be measured. --no-maglev-destroy-on-background: V8 else keeps the memory of every function
# it has compiled by Maglev until none waits to be compiled, a hundred at once while a process warms up: 30 MiB that malloc
# does not give back. --disable-sigusr1: no signal opens an inspector.
# deploy/node-flags.ts has the same flags: the bytecode beside the program holds for no others.
ENTRYPOINT ["node", "--max-semi-space-size=8", "--expose-gc", "--no-memory-reducer", "--heap-growing-percent=50", "--no-maglev-destroy-on-background", "--disable-sigusr1", "/app/outrigger.cjs"]
CMD ["run"]
