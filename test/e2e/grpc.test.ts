// gRPC through a sidecar, with the real client and server of @grpc/grpc-js: all four kinds of calls, and their final
// statuses.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { makeAuthority } from "../plugins/auth/authority.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { eventually } from "../support/redis.ts";

const plain = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: plain,
  requestDeserialize: plain,
  responseSerialize: plain,
  responseDeserialize: plain,
});
const service = {
  Unary: method("Unary", false, false),
  Upload: method("Upload", true, false),
  Download: method("Download", false, true),
  Chat: method("Chat", true, true),
};

const cancelled = { count: 0 };

const handlers = {
  Unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
    const text = call.request.toString();
    const trailer = new Metadata();
    trailer.set("x-trailer", "t");
    if (text === "fail")
      answer({ code: status.FAILED_PRECONDITION, details: "nicht möglich: 100%", metadata: trailer });
    else if (text === "hang") call.on("cancelled", () => (cancelled.count += 1));
    else if (text === "deadline") answer(null, Buffer.from(String(call.getDeadline())));
    else answer(null, Buffer.from(JSON.stringify([text, call.metadata.getMap()])), trailer);
  },
  Upload(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
    let bytes = 0;
    call.on("data", (chunk: Buffer) => (bytes += chunk.length));
    call.on("end", () => answer(null, Buffer.from(String(bytes))));
  },
  Download(call: ServerWritableStream<Buffer, Buffer>) {
    const [count = 0, size = 0] = call.request.toString().split("x").map(Number);
    for (let i = 0; i < count; i += 1) call.write(Buffer.alloc(size, i));
    call.end();
  },
  Chat(call: ServerDuplexStream<Buffer, Buffer>) {
    call.on("data", (chunk: Buffer) => void call.write(Buffer.concat([Buffer.from("re: "), chunk])));
    call.on("end", () => call.end());
    call.on("cancelled", () => (cancelled.count += 1));
  },
};

async function startService(): Promise<{ port: number; server: Server }> {
  const server = new Server();
  server.addService(service, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, server };
}

interface Called {
  readonly value: string;
  readonly trailers: Record<string, unknown>;
}

/** A unary call. Rejects with grpc-js' error. */
function call(
  client: Client,
  message: string,
  fields: Readonly<Record<string, string>> = {},
  deadlineMs?: number,
): Promise<Called> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  return new Promise((resolve, reject) => {
    let value = "";
    const running = client.makeUnaryRequest(
      service.Unary.path,
      plain,
      plain,
      Buffer.from(message),
      metadata,
      options,
      (error, got) => (error === null ? (value = String(got)) : reject(error)),
    );
    running.on("status", (told) => resolve({ value, trailers: told.metadata.getMap() }));
  });
}

const codeOf = (asked: Promise<unknown>): Promise<ServiceError> =>
  asked.then(
    () => assert.fail("it was answered"),
    (error: ServiceError) => error,
  );

const policy = {
  plugins: ["logging", "auth", "rate-limit"],
  pluginConfig: { auth: { required: false } },
  routes: [
    { path: "/test.Echo/*" },
    {
      path: "/test.Limited/*",
      pluginConfig: { "rate-limit": { limits: [{ name: "one", by: "ip", limit: 1, window: "1h" }] } },
    },
    { path: "/test.Closed/*", pluginConfig: { auth: { required: true } } },
  ],
};

for (const protocol of ["h2c", "auto"] as const) {
  describe(`gRPC to a service over ${protocol}`, () => {
    let sidecar: TestSidecar;
    let client: Client;
    let server: Server;
    before(async () => {
      const started = await startService();
      server = started.server;
      sidecar = await startSidecar({
        policy,
        upstream: `http://127.0.0.1:${started.port}`,
        env: { OUTRIGGER_UPSTREAM_PROTOCOL: protocol },
      });
      client = new Client(`127.0.0.1:${sidecar.port}`, credentials.createInsecure());
    });
    after(async () => {
      client.close();
      await sidecar.stop();
      server.forceShutdown();
    });

    test("a unary call has its metadata both ways and its trailers", async () => {
      const { value, trailers } = await call(client, "hi", { "x-mine": "1" });
      const [text, metadata] = JSON.parse(value) as [string, Record<string, string>];
      assert.equal(text, "hi");
      assert.equal(metadata["x-mine"], "1");
      assert.match(metadata["traceparent"] ?? "", /^00-/);
      assert.equal(trailers["x-trailer"], "t");
    });

    test("an error of the service comes with its details, whatever the script", async () => {
      const error = await codeOf(call(client, "fail"));
      assert.equal(error.code, status.FAILED_PRECONDITION);
      assert.equal(error.details, "nicht möglich: 100%");
      assert.equal(error.metadata.get("x-trailer")[0], "t");
      const line = await sidecar.line(({ grpcStatus }) => grpcStatus === status.FAILED_PRECONDITION);
      assert.equal(line["status"], 200);
    });

    test("a client streams to the service", async () => {
      const total = await new Promise<string>((resolve, reject) => {
        const upload = client.makeClientStreamRequest(service.Upload.path, plain, plain, (error, got) =>
          error === null ? resolve(String(got)) : reject(error),
        );
        for (let i = 0; i < 50; i += 1) upload.write(Buffer.alloc(20_000));
        upload.end();
      });
      assert.equal(total, "1000000");
    });

    test("a service streams to the client, whole, also to one that is slow", async () => {
      const download = client.makeServerStreamRequest(
        service.Download.path,
        plain,
        plain,
        Buffer.from("200x20000"),
      );
      let bytes = 0;
      for await (const chunk of download as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes % 400_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      assert.equal(bytes, 4_000_000);
    });

    test("both talk in turns", async () => {
      const chat = client.makeBidiStreamRequest(service.Chat.path, plain, plain);
      const heard: string[] = [];
      for (const text of ["one", "two", "three"]) {
        chat.write(Buffer.from(text));
        const [chunk] = (await once(chat, "data")) as [Buffer];
        heard.push(chunk.toString());
      }
      chat.end();
      const [told] = (await once(chat, "status")) as [{ code: number }];
      assert.deepEqual(heard, ["re: one", "re: two", "re: three"]);
      assert.equal(told.code, status.OK);
    });

    test("a client that leaves is known to the service", async () => {
      const before = cancelled.count;
      const chat = client.makeBidiStreamRequest(service.Chat.path, plain, plain);
      chat.on("error", () => {});
      chat.write(Buffer.from("x"));
      await once(chat, "data");
      chat.cancel();
      await eventually("the service is told", () => cancelled.count > before);
    });

    test("a deadline goes on to the service, and ends the call where that does not", async () => {
      const left = Number((await call(client, "deadline", {}, 5_000)).value) - Date.now();
      assert.ok(left > 0 && left <= 5_000, String(left));
      const error = await codeOf(call(client, "hang", {}, 150));
      assert.equal(error.code, status.DEADLINE_EXCEEDED);
    });

    test("our own refusals are statuses of gRPC", async () => {
      const refused = (path: string, fields: Readonly<Record<string, string>> = {}) =>
        codeOf(
          new Promise((resolve, reject) => {
            const metadata = new Metadata();
            for (const [name, value] of Object.entries(fields)) metadata.set(name, value);
            client.makeUnaryRequest(path, plain, plain, Buffer.from("x"), metadata, (error, got) =>
              error === null ? resolve(got) : reject(error),
            );
          }),
        );
      const unauthenticated = await refused("/test.Closed/Unary");
      assert.equal(unauthenticated.code, status.UNAUTHENTICATED);
      assert.notEqual(unauthenticated.details, "");
      assert.equal(
        (await refused("/test.Echo/Unary", { authorization: "Bearer a.b.c" })).code,
        status.UNAUTHENTICATED,
      );
      assert.equal((await refused("/test.None/Unary")).code, status.UNIMPLEMENTED);
      await refused("/test.Limited/Unary");
      const limited = await refused("/test.Limited/Unary");
      assert.equal(limited.code, status.RESOURCE_EXHAUSTED);
      assert.ok(Number(limited.metadata.get("grpc-retry-pushback-ms")[0]) > 0);
      assert.match(await sidecar.metrics(), /^outrigger_grpc_requests_total\{.*grpc_status="16"\} 1$/m);
    });

    test("a hundred calls at once share few connections", async () => {
      const all = await Promise.all(Array.from({ length: 100 }, (_, i) => call(client, `n${i}`)));
      assert.deepEqual(
        all.map(({ value }) => (JSON.parse(value) as [string])[0]),
        Array.from({ length: 100 }, (_, i) => `n${i}`),
      );
      const open = /^outrigger_upstream_connections\{.*state="(?:active|idle)"\} (\d+)$/gm;
      const counts = [...(await sidecar.metrics()).matchAll(open)].map(([, count]) => Number(count));
      assert.ok(counts.reduce((sum, count) => sum + count, 0) <= 2, counts.join());
    });

    test("a service that is gone is UNAVAILABLE", async () => {
      server.forceShutdown();
      assert.equal((await codeOf(call(client, "hi"))).code, status.UNAVAILABLE);
    });
  });
}

test("gRPC to another service through egress: unary, streams both ways, errors, and no call to anybody else", async (t) => {
  const authority = makeAuthority();
  const { port, server } = await startService();
  const [cart, orders] = ["spiffe://shop.example/cart", "spiffe://shop.example/orders"];
  const spiffe = (name: string, id: string): Record<string, string> => {
    const { certFile, keyFile } = authority.issue(name, `URI:${id}`);
    const files = { OUTRIGGER_SPIFFE_CERT: certFile, OUTRIGGER_SPIFFE_KEY: keyFile };
    return { ...files, OUTRIGGER_SPIFFE_BUNDLE: authority.certFile };
  };
  const callee = await startSidecar({
    policy: { plugins: [] },
    upstream: `http://127.0.0.1:${port}`,
    env: { ...spiffe("orders", orders), OUTRIGGER_UPSTREAM_PROTOCOL: "auto" },
  });
  const to = (host: string, id: string): string => `${host}=127.0.0.1:${callee.port}=${id}`;
  const destinations = [to("orders.internal", orders), to("payments", "spiffe://shop.example/payments")];
  const caller = await startSidecar({
    policy: { plugins: [] },
    upstream: (_request, response) => void response.end(),
    env: {
      ...spiffe("cart", cart),
      OUTRIGGER_EGRESS: "127.0.0.1:0",
      OUTRIGGER_EGRESS_TO: destinations.join(),
    },
  });
  const { address } = await caller.line(({ msg }) => msg === "listening for the service's own calls");
  const clientOf = (host: string): Client =>
    new Client(String(address), credentials.createInsecure(), { "grpc.default_authority": host });
  const [client, stranger] = [clientOf("orders.internal"), clientOf("payments")];
  t.after(async () => {
    for (const each of [client, stranger]) each.close();
    for (const sidecar of [caller, callee]) await sidecar.stop();
    server.forceShutdown();
    authority.close();
  });

  const { value, trailers } = await call(client, "hi", { "x-mine": "1" });
  const [text, metadata] = JSON.parse(value) as [string, Record<string, string>];
  assert.deepEqual([text, metadata["x-mine"], trailers["x-trailer"]], ["hi", "1", "t"]);
  const { code, details } = await codeOf(call(client, "fail"));
  assert.deepEqual([code, details], [status.FAILED_PRECONDITION, "nicht möglich: 100%"]);
  const chat = client.makeBidiStreamRequest(service.Chat.path, plain, plain);
  for (const word of ["one", "two"]) {
    chat.write(Buffer.from(word));
    assert.equal(String(((await once(chat, "data")) as [Buffer])[0]), `re: ${word}`);
  }
  chat.end();
  await once(chat, "end");
  const refused = await codeOf(call(stranger, "hi"));
  assert.equal(refused.code, status.UNAVAILABLE);
});
