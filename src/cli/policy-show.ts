// `outrigger policy show`: a policy as it lies in Redis, or what a service's sidecars make of it.
import { documentIn } from "../plane/candidate.ts";
import { fieldsOf } from "../plane/origins.ts";
import { createPolicyReader } from "../policy/read.ts";
import { pluginsByName } from "../app/registry.ts";
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

async function showDocument(
  terminal: Terminal,
  { history, author }: Plane,
  options: ShowOptions,
): Promise<number> {
  const { service, revision, json } = options;
  const name = documentName(service);
  const current = await history.look(service, author);
  const old = revision === undefined ? undefined : await history.find(service, Number(revision));
  if (revision !== undefined && old === undefined)
    throw new PlaneRefusal(`the history of ${name} has no revision ${revision}`);
  const text = old === undefined ? current.document?.toString() : old.document;
  if (text === undefined || old?.deleted === true) throw new PlaneRefusal(`there is no ${name} in Redis`);
  const number = old?.revision ?? current.revision;
  const digest = old?.digest ?? current.digest;
  if (json) {
    const document = documentIn(Buffer.from(text)) ?? text;
    terminal.out(`${JSON.stringify({ name, revision: number, digest, document }, null, 2)}\n`);
    return 0;
  }
  terminal.err(`${name}, revision ${number}, sha256 ${digest}\n`);
  terminal.out(`${text.split("\n").map(printable).join("\n").trimEnd()}\n`);
  return 0;
}

async function showEffective(
  terminal: Terminal,
  { config, history }: Plane,
  options: ShowOptions,
): Promise<number> {
  const { service = config.service, json } = options;
  const [shared, layer] = await Promise.all([history.peek(undefined), history.peek(service)]);
  if (shared.document === undefined) throw new PlaneRefusal("there is no policy in Redis");
  const read = await createPolicyReader({
    plugins: pluginsByName,
    service,
    upstreamAllow: config.upstreamAllow,
    keys: config.policyKeys,
    maxBytes: config.policyMaxBytes,
  });
  const raw = { shared: shared.document, layer: layer.document, format: "json" as const, standing: true };
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
