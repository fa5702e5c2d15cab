// A secret is sent only to the hosts that the environment names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FormatError } from "../../../src/config/formats.ts";
import { createSecrets, parseSecretHosts } from "../../../src/config/secret-hosts.ts";

const values = { SECRET_IDP: "one", SECRET_B: "two", API_KEY_PEPPER: "three" };

test("a bound secret goes to its hosts and ports alone", () => {
  const hosts = parseSecretHosts("SECRET_IDP=id.example:443, *.login.example:8443; SECRET_B=[::1]:80");
  const secrets = createSecrets(values, hosts);
  for (const url of ["https://id.example/token", "https://ID.example:443/", "https://a.login.example:8443/x"])
    assert.equal(secrets.sentTo("SECRET_IDP", url), "one");
  assert.equal(secrets.sentTo("SECRET_B", "http://[::1]/x"), "two");
  for (const url of [
    "https://id.example:8443/",
    "https://id.example.evil/",
    "https://evil/id.example:443",
    "https://id.example@evil/",
    "https://login.example:8443/",
    "http://id.example/",
    "https://[::1]/",
  ])
    assert.throws(
      () => secrets.sentTo("SECRET_IDP", url),
      /may not be sent to .*OUTRIGGER_SECRET_HOSTS/,
      url,
    );
});

test("without a binding nothing is sent, and what is the sidecar's own cannot be bound", () => {
  const secrets = createSecrets(values, parseSecretHosts(""));
  assert.throws(() => secrets.sentTo("SECRET_IDP", "https://id.example/"), /may not be sent/);
  assert.throws(() => secrets.sentTo("SECRET_NONE", "https://id.example/"), /is not set/);
  assert.throws(() => secrets.sentTo("API_KEY_PEPPER", "https://id.example/"), /may not be sent/);
  for (const text of [
    "API_KEY_PEPPER=id.example:443",
    "SECRET_A",
    "SECRET_A=id.example",
    "SECRET_A=a:1;SECRET_A=b:1",
    "SECRET_A=*:443",
  ])
    assert.throws(() => parseSecretHosts(text), FormatError, text);
});
