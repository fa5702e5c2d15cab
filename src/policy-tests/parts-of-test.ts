// Builds a test's request, caller and stubbed answer, and fills in what the test leaves out.
import { Fields, type Identity } from "../plugin-api/contract.ts";
import type { PolicyTest, TestFields, TestIdentity } from "../policy/document/tests-field.ts";
import type { RequestOfTest } from "./memory-stream.ts";
import type { StubbedAnswer } from "./stub-upstream.ts";

export function requestOf({ request: { method = "GET", path, headers, peer } }: PolicyTest): RequestOfTest {
  const fields = fieldsOf(headers);
  if (!fields.has("host")) fields.set("Host", "test.invalid");
  return { method, target: path, fields: fields.toFlat(), peer };
}

export function answerOf({ upstream = {} }: PolicyTest): StubbedAnswer {
  const { status = 200, headers, body = "" } = upstream;
  const fields = fieldsOf(headers);
  const bytes = Buffer.from(body);
  if (status !== 204 && status !== 304) fields.set("Content-Length", String(bytes.length));
  return { status, fields: fields.toFlat(), body: bytes };
}

export function identityOf(given: TestIdentity | undefined): Identity | undefined {
  if (given === undefined) return undefined;
  const { userId, issuer, plan, scopes = [], roles = [], method = "jwt", credentialId, claims = {} } = given;
  return { userId, issuer, plan, scopes, roles, method, credentialId, claims };
}

function fieldsOf(written: TestFields = {}): Fields {
  const fields = new Fields();
  for (const [name, value] of Object.entries(written)) {
    for (const line of typeof value === "string" ? [value] : value) fields.append(name, line);
  }
  return fields;
}
