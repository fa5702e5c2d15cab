// Which name a connection's certificate must have.
import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import tls from "node:tls";
import { Connector } from "../../../src/upstream/connector.ts";
import { type Authority, makeAuthority } from "../../plugins/auth/authority.ts";

describe("a service that is named by its address", () => {
  let authority: Authority;
  before(() => (authority = makeAuthority()));
  after(() => authority.close());

  /** Connects to a server whose certificate has that name. @returns why not, or "" */
  const fault = async (names: string, proxyProtocol: "v1" | undefined): Promise<string> => {
    const { key, cert } = authority.issue("service", names);
    const secure = tls.createServer({ key, cert });
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      if (proxyProtocol === undefined) secure.emit("connection", socket);
      else
        socket.once("readable", () => {
          const bytes = socket.read() as Buffer;
          socket.unshift(bytes.subarray(bytes.indexOf("\r\n") + 2));
          secure.emit("connection", socket);
        });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const tlsOptions = { ca: authority.cert, rejectUnauthorized: true };
    const target = { tls: true, host: "127.0.0.1", port, socketPath: undefined, name: "service", tlsOptions };
    const socket = new Connector({ ...target, proxyProtocol }).openStream("192.0.2.1");
    try {
      await once(socket, "secureConnect");
      return "";
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code);
    } finally {
      socket.destroy();
      server.close();
    }
  };

  for (const [what, proxyProtocol] of [
    ["plainly", undefined],
    ["behind a head of the PROXY protocol", "v1"],
  ] as const)
    it(`is held to that, ${what}`, async () => {
      assert.equal(await fault("IP:127.0.0.1", proxyProtocol), "");
      assert.equal(await fault("DNS:localhost", proxyProtocol), "ERR_TLS_CERT_ALTNAME_INVALID");
    });
});
