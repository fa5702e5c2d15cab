// gRPC-Web: exact bytes and a real browser, to a real gRPC service; also the browser's WebSockets over HTTP/2.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, describe, test } from "node:test";
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { chromium } from "playwright-core";
import { WebSocketServer } from "ws";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { makeCertificate } from "../support/certificate.ts";

const plain = (bytes: Buffer): Buffer => bytes;
const method = (name: string, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: plain,
  requestDeserialize: plain,
  responseSerialize: plain,
  responseDeserialize: plain,
});

async function startService(): Promise<{ port: number; server: Server }> {
  const server = new Server();
  server.addService(
    { Unary: method("Unary", false), Download: method("Download", true) },
    {
      Unary(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
        const metadata = new Metadata();
        metadata.set("x-trailer", "t");
        const text = call.request.toString();
        if (text === "fail") answer({ code: status.NOT_FOUND, details: "weg: ü", metadata });
        else answer(null, Buffer.from(`re: ${text} ${call.metadata.get("x-mine").join()}`), metadata);
      },
      Download(call: ServerWritableStream<Buffer, Buffer>) {
        for (let i = 0; i < 50; i += 1) call.write(Buffer.alloc(10_000, i));
        call.end();
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, server };
}

function message(text: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly messages: Buffer[];
  readonly trailers: Record<string, string>;
}

/** base64 in pieces, each perhaps padded. */
const decode = (text: string): Buffer =>
  Buffer.concat((text.match(/[^=]+={0,2}/g) ?? []).map((piece) => Buffer.from(piece, "base64")));

function parse(response: Response, body: Buffer): Answer {
  const messages: Buffer[] = [];
  let trailers = {};
  for (let at = 0; at < body.length;) {
    const length = body.readUInt32BE(at + 1);
    const payload = body.subarray(at + 5, at + 5 + length);
    if (body[at] === 0x80) {
      assert.equal(at + 5 + length, body.length, "the trailers are last");
      trailers = Object.fromEntries(
        payload
          .toString()
          .trim()
          .split("\r\n")
          .map((line) => line.split(": ")),
      );
    } else messages.push(payload);
    at += 5 + length;
  }
  return { status: response.status, headers: response.headers, messages, trailers };
}

const policy = {
  plugins: ["logging", "cors", "auth", "rate-limit"],
  pluginConfig: {
    auth: { required: false },
    cors: { origins: ["*"], headers: ["Content-Type", "X-Grpc-Web", "X-Mine"] },
  },
  routes: [
    { path: "/test.Echo/*" },
    { path: "/test.Closed/*", pluginConfig: { auth: { required: true } } },
    {
      path: "/test.Limited/*",
      pluginConfig: { "rate-limit": { limits: [{ name: "one", by: "ip", limit: 1, window: "1h" }] } },
    },
  ],
};

describe("gRPC-Web", () => {
  let sidecar: TestSidecar;
  let server: Server;
  before(async () => {
    const started = await startService();
    server = started.server;
    sidecar = await startSidecar({
      policy,
      upstream: `http://127.0.0.1:${started.port}`,
      env: { OUTRIGGER_UPSTREAM_PROTOCOL: "auto" },
    });
  });
  after(async () => {
    await sidecar.stop();
    server.forceShutdown();
  });

  const call = async (
    path: string,
    text: string,
    form: "" | "-text" = "",
    fields: Record<string, string> = {},
  ): Promise<Answer> => {
    const body = message(text);
    const type = `application/grpc-web${form}+proto`;
    const response = await fetch(`${sidecar.url}${path}`, {
      method: "POST",
      headers: { "Content-Type": type, "X-Grpc-Web": "1", "X-Mine": "m", ...fields },
      body: form === "" ? body : body.toString("base64"),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.match(
      response.headers.get("content-type") ?? "",
      new RegExp(`^application/grpc-web${form}(\\+proto)?$`),
    );
    assert.equal(response.headers.get("grpc-status"), null);
    return parse(response, form === "" ? bytes : decode(bytes.toString()));
  };

  for (const form of ["", "-text"] as const) {
    test(`a call has its answer, and its trailers behind it: application/grpc-web${form}`, async () => {
      const { status: code, messages, trailers } = await call("/test.Echo/Unary", "hi", form);
      assert.deepEqual([code, messages.map(String)], [200, ["re: hi m"]]);
      assert.deepEqual([trailers["grpc-status"], trailers["x-trailer"]], ["0", "t"]);
      const failed = await call("/test.Echo/Unary", "fail", form);
      assert.deepEqual(failed.messages, []);
      assert.equal(failed.trailers["grpc-status"], String(status.NOT_FOUND));
      assert.equal(decodeURIComponent(failed.trailers["grpc-message"] ?? ""), "weg: ü");
      const { messages: many, trailers: last } = await call("/test.Echo/Download", "x", form);
      assert.deepEqual(
        many.map((bytes) => [bytes.length, bytes[0]]),
        Array.from({ length: 50 }, (_, i) => [10_000, i]),
      );
      assert.equal(last["grpc-status"], "0");
    });

    test(`our own refusals are calls that failed: application/grpc-web${form}`, async () => {
      const closed = await call("/test.Closed/Unary", "hi", form);
      assert.deepEqual([closed.status, closed.trailers["grpc-status"]], [200, "16"]);
      assert.notEqual(closed.trailers["grpc-message"], "");
      assert.equal((await call("/test.None/Unary", "hi", form)).trailers["grpc-status"], "12");
      assert.equal(
        (await call("/test.Echo/Unary", "hi", form, { authorization: "Bearer a.b.c" })).trailers[
          "grpc-status"
        ],
        "16",
      );
    });
  }

  test("a limit says when to come again", async () => {
    await call("/test.Limited/Unary", "hi");
    const limited = await call("/test.Limited/Unary", "hi");
    assert.equal(limited.trailers["grpc-status"], "8");
    assert.ok(Number(limited.headers.get("grpc-retry-pushback-ms")) > 0);
  });

  test("text that is none is refused, and one in padded pieces is read", async () => {
    const ask = async (body: string): Promise<Answer> => {
      const headers = { "Content-Type": "application/grpc-web-text", Accept: "application/grpc-web" };
      const response = await fetch(`${sidecar.url}/test.Echo/Unary`, { method: "POST", headers, body });
      return parse(response, Buffer.from(await response.arrayBuffer()));
    };
    const whole = message("pieces");
    const pieces = [whole.subarray(0, 4), whole.subarray(4)].map((part) => part.toString("base64"));
    assert.deepEqual((await ask(pieces.join(""))).messages.map(String), ["re: pieces "]);
    assert.equal((await ask("AAAAA*==")).trailers["grpc-status"], "3");
    assert.equal((await ask("AAAAAAA")).trailers["grpc-status"], "3");
  });

  test("is translated over HTTP/2, too, and logged and counted as gRPC", async () => {
    const session = http2.connect(sidecar.url);
    const stream = session.request({
      ":method": "POST",
      ":path": "/test.Echo/Unary",
      "content-type": "application/grpc-web",
    });
    stream.end(message("two"));
    const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    assert.match(headers["content-type"] ?? "", /^application\/grpc-web/);
    assert.match(Buffer.concat(chunks).toString(), /re: two .*grpc-status: 0\r\n/s);
    session.destroy();
    const line = await sidecar.line(({ grpcStatus }) => grpcStatus === status.NOT_FOUND);
    assert.deepEqual([line["status"], line["requestMessages"], line["responseMessages"]], [200, 1, 0]);
    assert.match(await sidecar.metrics(), /^outrigger_grpc_requests_total\{.*grpc_status="5"\} \d+$/m);
  });
});

test("a service of HTTP/1.1 gets gRPC-Web as it is", async () => {
  let got: unknown[] = [];
  await using sidecar = await startSidecar({
    policy: { plugins: ["logging"] },
    upstream(request, response) {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        got = [request.headers["content-type"], body];
        response.end("own");
      });
    },
  });
  const headers = { "Content-Type": "application/grpc-web-text" };
  const response = await fetch(sidecar.url, { method: "POST", headers, body: "AAAAAAA=" });
  assert.equal(await response.text(), "own");
  assert.deepEqual(got, ["application/grpc-web-text", "AAAAAAA="]);
});

test("a browser calls gRPC across origins, and has its WebSocket on the same connection of HTTP/2", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-web-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const { cert, key } = makeCertificate();
  const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
  const { port, server } = await startService();
  const sockets = new WebSocketServer({ noServer: true });
  await using sidecar = await startSidecar({
    policy: {
      ...policy,
      routes: [
        { path: "/test.Echo/*", upstream: `http://127.0.0.1:${port}`, upstreamProtocol: "h2c" },
        { path: "/*" },
      ],
    },
    upstream: (_request, response) =>
      void response.setHeader("Content-Type", "text/html").end("<!doctype html>"),
    env: {
      OUTRIGGER_TLS_CERT: files.cert,
      OUTRIGGER_TLS_KEY: files.key,
      OUTRIGGER_UPSTREAM_ALLOW: `127.0.0.1:${port}`,
    },
  });
  sidecar.service?.on("upgrade", (request: http.IncomingMessage, socket: Duplex, head: Buffer) =>
    sockets.handleUpgrade(request, socket, head, (ws) => {
      ws.on("message", (data: Buffer) => ws.send(`${request.headers.via} ${data.toString()}`));
    }),
  );
  const pages = http.createServer((_request, response) =>
    response.setHeader("Content-Type", "text/html").end(),
  );
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  const browser = await chromium.launch({
    executablePath: process.env["OUTRIGGER_TEST_CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
    ],
  });
  try {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    const url = `https://127.0.0.1:${sidecar.port}`;
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}`);
    const [type, bytes] = await page.evaluate(
      async ([target, body]) => {
        const response = await fetch(target, {
          method: "POST",
          headers: { "Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1", "X-Mine": "page" },
          body: new Uint8Array(body),
        });
        return [
          response.headers.get("content-type"),
          [...new Uint8Array(await response.arrayBuffer())],
        ] as const;
      },
      [`${url}/test.Echo/Unary`, [...message("browser")]] as const,
    );
    assert.equal(type, "application/grpc-web+proto");
    assert.match(Buffer.from(bytes).toString(), /re: browser page.*grpc-status: 0\r\n/s);
    await page.goto(url);
    const heard = await page.evaluate(
      async (target) =>
        await new Promise<string>((resolve, reject) => {
          const socket = new WebSocket(target);
          socket.addEventListener("open", () => socket.send("hello"));
          socket.addEventListener("error", () => reject(new Error("no WebSocket")));
          socket.addEventListener("message", ({ data }) => resolve(String(data)));
        }),
      url.replace("https", "wss"),
    );
    assert.equal(heard, "2.0 outrigger hello");
  } finally {
    await browser.close();
    pages.close();
    server.forceShutdown();
  }
});
