// Runs `outrigger policy sign FILE --key FILE`: checks a policy file and prints it signed, for a pipeline without
// Redis.
import { loadConfig } from "../app/environment.ts";
import { documentIn, placeIn } from "../plane/candidate.ts";
import { KeyFileRefusal, readSigningKey } from "../plane/private-key.ts";
import { readClaims } from "../policy/signature/jws.ts";
import type { PolicyFormat } from "../policy/document/parse.ts";
import { isObject } from "../policy/document/plain-object.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { createPolicyReader, createTrust } from "../policy/read.ts";
import { pluginsByName } from "../app/registry.ts";
import {
  EpochRefusal,
  parseSigning,
  type SigningOptions,
  type SigningWish,
  signPolicy,
} from "./signing-options.ts";
import { type ExtensionReport, pinDocument, printExtensions, reportExtensions } from "./policy-extensions.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import { readPolicy } from "./policy-validate.ts";
import type { Terminal } from "./terminal.ts";
import { documentName } from "./with-plane.ts";

export interface SignOptions extends SigningOptions {
  readonly service?: string;
  readonly over?: string;
  readonly json?: true;
}

/** Throws ConfigError. @returns the exit code */
export async function signFile(terminal: Terminal, file: string, options: SignOptions): Promise<number> {
  const wish = parseSigning(options);
  if (wish === undefined || typeof wish === "string") {
    terminal.err(`${wish ?? "--key takes the file of the private key"}\n`);
    return 2;
  }
  if (options.over !== undefined && options.service === undefined) {
    terminal.err("--over takes --service: the layer is some service's\n");
    return 2;
  }
  try {
    const { token, filledIn } = await signChecked(terminal, file, wish, options);
    printExtensions((line) => terminal.err(line), filledIn);
    if (options.json) {
      const { kid, for: name, iat, epoch, exp } = readClaims(token);
      terminal.out(`${JSON.stringify({ for: name, kid, iat, epoch, exp, jws: token }, null, 2)}\n`);
    } else terminal.out(`${token}\n`);
    return 0;
  } catch (error) {
    if (error instanceof PolicyRefused)
      for (const problem of error.problems) terminal.err(`${problemText({ document: file, ...problem })}\n`);
    else if (error instanceof KeyFileRefusal || error instanceof EpochRefusal)
      terminal.err(`${error.message}\n`);
    else throw error;
    return 1;
  }
}

async function signChecked(
  { env }: Terminal,
  file: string,
  wish: SigningWish,
  { service, over }: Pick<SignOptions, "service" | "over">,
): Promise<{ token: string; filledIn: readonly ExtensionReport[] }> {
  const config = loadConfig({ ...env, ...(service === undefined ? {} : { OUTRIGGER_SERVICE: service }) });
  const { upstreamAllow, policyKeys, policyMaxBytes: maxBytes } = config;
  const own = await readPolicy(file, undefined, maxBytes);
  const trusted = policyKeys && (await (await createTrust(policyKeys))([])).keys;
  return await withPolicyPackages(config, async (packages) => {
    const found = { bytes: own.shared, format: own.format };
    if (service !== undefined) refuseExtensions(found);
    const pinned = await pinDocument(packages, found, file, { trusted, nowMs: Date.now() });
    const { bytes, format } = pinned;
    const whole = over === undefined ? undefined : await readPolicy(file, over, maxBytes);
    const plugins = pluginsByName;
    const whose = whole && service;
    const options = { plugins, packages: packages.find, service: whose, upstreamAllow, keys: undefined };
    const read = await createPolicyReader({ ...options, maxBytes });
    const { extensions } = await read(whole ?? { shared: bytes, layer: undefined, format });
    const key = await readSigningKey(wish.keyFile);
    const token = await signPolicy(documentIn(bytes, format), documentName(service), key, wish);
    return { token, filledIn: await reportExtensions(packages, { ...pinned, extensions }, service, bytes) };
  });
}

/**
 * Without `--over` a layer is read as a shared policy, which may have extensions: sidecars would refuse the signed
 * layer.
 */
function refuseExtensions({
  bytes,
  format,
}: {
  readonly bytes: Uint8Array;
  readonly format: PolicyFormat;
}): void {
  const document = documentIn(bytes, format);
  if (!isObject(document) || document["extensions"] === undefined) return;
  const message = "only the shared policy has extensions, and this is signed as a service's layer";
  throw new PolicyRefused([{ path: "extensions", message, ...placeIn(bytes, format, ["extensions"]) }]);
}
