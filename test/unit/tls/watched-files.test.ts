// Renewal of certificate files: half-written or mismatched files do not come into force.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { readTlsFiles } from "../../../src/server/tls-files.ts";
import { watchFiles } from "../../../src/tls/watched-files.ts";
import { makeCertificate } from "../../support/certificate.ts";

describe("watched certificate files", () => {
  const [first, second] = [makeCertificate(), makeCertificate()];
  let folder: string;
  let applied: number;
  let lines: string[];
  let stop: () => void;
  const file = (name: string): string => join(folder, name);
  const write = ({ cert, key }: { cert?: string; key?: string }): void => {
    if (cert !== undefined) writeFileSync(file("cert.pem"), cert);
    if (key !== undefined) writeFileSync(file("key.pem"), key);
  };
  const look = (): void => mock.timers.tick(5_000);
  beforeEach(() => {
    mock.timers.enable({ apis: ["setInterval"] });
    folder = mkdtempSync(join(tmpdir(), "outrigger-tls-files-"));
    write(first);
    applied = 0;
    lines = [];
    const pairs = [{ cert: file("cert.pem"), key: file("key.pem") }];
    writeFileSync(file("ca.pem"), first.cert + second.cert);
    const files = { pairs, clientCa: file("ca.pem"), clientCrl: undefined, minVersion: "TLSv1.2" } as const;
    const current = readTlsFiles(files);
    const server = https.createServer(current.options);
    const told = (_line: object, text?: string): void => void lines.push(text ?? "");
    const logger = { trace: told, debug: told, info: told, warn: told, error: told };
    const watched = {
      of: "listener",
      read: () => readTlsFiles(files),
      fingerprint: ({ fingerprint }: typeof current) => fingerprint,
      apply({ options }: typeof current) {
        server.setSecureContext(options);
        applied += 1;
      },
    };
    stop = watchFiles(current, watched, logger);
  });
  afterEach(() => {
    stop();
    mock.timers.reset();
    rmSync(folder, { recursive: true });
  });

  it("that stay as they are are left alone", () => {
    look();
    assert.deepEqual([applied, lines], [0, []]);
  });

  it("are applied once when both have changed", () => {
    write(second);
    look();
    look();
    assert.equal(applied, 1);
    assert.deepEqual(lines, ["certificate reloaded"]);
  });

  for (const [what, spoil] of [
    ["a certificate without its key", () => write({ cert: second.cert })],
    ["a file half written", () => write({ cert: second.cert.slice(0, 200) })],
    ["files emptied before they are written", () => write({ cert: "", key: "" })],
    [
      "a chain cut off within a line of its own",
      () => write({ ...second, cert: `${second.cert}-----BEGIN C` }),
    ],
    ["authorities emptied, which would be the system's", () => writeFileSync(file("ca.pem"), "")],
    ["authorities cut off", () => writeFileSync(file("ca.pem"), first.cert + second.cert.slice(0, 200))],
    ["a file that is gone", () => unlinkSync(file("cert.pem"))],
  ] as const) {
    it(`${what}: the old pair serves, until the new one is whole`, () => {
      spoil();
      look();
      assert.equal(applied, 0);
      look();
      assert.equal(lines.length, 1, "told once");
      assert.match(lines[0] ?? "", /the old one serves/);
      write(second);
      writeFileSync(file("ca.pem"), first.cert);
      look();
      assert.equal(applied, 1);
    });
  }

  it("are not looked at any more once nobody watches", () => {
    stop();
    write(second);
    look();
    assert.equal(applied, 0);
  });
});
