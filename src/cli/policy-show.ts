// Runs `outrigger policy show`: prints a policy as stored in Redis, or the effective policy of a service's sidecars.
import { documentIn } from "../plane/candidate.ts";
import { fieldsOf } from "../plane/origins.ts";
import { type Claims, compactJws, payloadOf, readClaims } from "../policy/signature/jws.ts";
import { createPolicyReader, createTrust } from "../policy/read.ts";
import { pluginsByName } from "../app/registry.ts";
import { keySetsIn, verifiedIn } from "./plane-trust.ts";
import { printable, printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { documentName, type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface ShowOptions {
  readonly service?: string;
  readonly effective?: true;
  readonly revision?: string;
  readonly json?: true;
}

/** @returns the exit code */
export async function showPolicy(terminal: Terminal, options: ShowOptions): Promise<number> {
  const { effective, revision } = options;
  if (revision !== undefined && (effective === true || !/^[1-9]\d{0,15}$/.test(revision))) {
    terminal.err("--revision takes a number, and no --effective\n");
    return 2;
  }
  return await withPlane(terminal, options, (plane) =>
    effective === true ? showEffective(terminal, plane, options) : showDocument(terminal, plane, options),
  );
}

async function showDocument(terminal: Terminal, plane: Plane, options: ShowOptions): Promise<number> {
  const { history } = plane;
  const { service, revision, json } = options;
  const name = documentName(service);
  const current = await history.peek(service);
  const old = revision === undefined ? undefined : await history.find(service, Number(revision));
  if (revision !== undefined && old === undefined)
    throw new PlaneRefusal(`the history of ${name} has no revision ${revision}`);
  const text = old === undefined ? current.document?.toString() : old.document;
  if (text === undefined || old?.deleted === true) throw new PlaneRefusal(`there is no ${name} in Redis`);
  const number = old?.revision ?? (current.recorded ? current.revision : null);
  const digest = old?.digest ?? current.digest;
  const signature = await signatureOf(plane, Buffer.from(text), name);
  if (json) {
    const document = documentIn(Buffer.from(text)) ?? text;
    terminal.out(`${JSON.stringify({ name, revision: number, digest, signature, document }, null, 2)}\n`);
    return 0;
  }
  const which =
    number === null ? `SET past the history (after revision ${current.revision})` : `revision ${number}`;
  const line = `${name}, ${which}, document sha256 ${digest}${signatureText(signature)}`;
  terminal.err(`${printable(line)}\n`);
  const shown = signature === null ? text : payloadOf(text.trim()).toString();
  terminal.out(`${shown.split("\n").map(printable).join("\n").trimEnd()}\n`);
  return 0;
}

interface Signature {
  readonly kid: string | null;
  readonly epoch: number | null;
  /** Whether an accepted key signed it; null = OUTRIGGER_POLICY_KEYS is not set. */
  readonly verified: boolean | null;
}

/** @returns null = the document is not signed */
async function signatureOf(plane: Plane, bytes: Buffer, name: string): Promise<Signature | null> {
  const token = compactJws(bytes, bytes.length);
  if (token === undefined) return null;
  let claims: Partial<Claims> = {};
  try {
    claims = readClaims(token);
  } catch {
    // A malformed signature is shown all the same, because it is what Redis holds.
  }
  const { policyKeys } = plane.config;
  const trust = policyKeys && (await (await createTrust(policyKeys))(await keySetsIn(plane)));
  const verified = trust && (await verifiedIn(plane, bytes, name, trust.keys)) !== undefined;
  return { kid: claims.kid ?? null, epoch: claims.epoch ?? null, verified: verified ?? null };
}

function signatureText(signature: Signature | null): string {
  if (signature === null) return "";
  const { kid, epoch, verified } = signature;
  const judged = verified === null ? "not verified" : verified ? "verified" : "by no key that counts";
  return `, signed by ${kid ?? "a key without kid"} with epoch ${epoch ?? "none"}, ${judged}`;
}

async function showEffective(terminal: Terminal, plane: Plane, options: ShowOptions): Promise<number> {
  const { config, history, packages } = plane;
  const { service = config.service, json } = options;
  const [shared, layer] = await Promise.all([history.peek(undefined), history.peek(service)]);
  if (shared.document === undefined) throw new PlaneRefusal("there is no policy in Redis");
  const read = await createPolicyReader({
    plugins: pluginsByName,
    packages: packages.find,
    service,
    upstreamAllow: config.upstreamAllow,
    keys: config.policyKeys,
    maxBytes: config.policyMaxBytes,
  });
  const documents = { shared: shared.document, layer: layer.document, format: "json" as const };
  const raw = { ...documents, keySets: await keySetsIn(plane), standing: true };
  const { document, digest, overruled } = await read(raw);
  const parts = [shared.document, layer.document].map((bytes) => bytes && documentIn(bytes));
  const fields = fieldsOf(document, parts[0], parts[1]);
  for (const { path, message } of overruled)
    terminal.err(`${printable(`${documentName(service)}: overruled: ${path} ${message}`)}\n`);
  if (json) {
    terminal.out(`${JSON.stringify({ service, digest, effective: document, fields, overruled }, null, 2)}\n`);
    return 0;
  }
  const names = { shared: documentName(undefined), layer: documentName(service), default: "(default)" };
  const rows = fields.map(({ path, value, from }) => [path, JSON.stringify(value) ?? "", names[from]]);
  printTable(terminal, ["FIELD", "VALUE", "SET BY"], rows);
  return 0;
}
