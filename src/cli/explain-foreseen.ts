// Predicts what the policy here would do with a request that has not happened.
import { foresee, type readRequest } from "../app/foreseen-request.ts";
import type { Config } from "../config/config.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { ExplainOptions } from "./explain-options.ts";
import { printRequest } from "./explain-text.ts";
import { keySetsIn } from "./plane-trust.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import { readPolicy } from "./policy-validate.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { PlaneRefusal, withPlane } from "./with-plane.ts";

type Request = Exclude<ReturnType<typeof readRequest>, readonly string[]>;

/** @returns the exit code */
export async function foreseeIn(
  terminal: Terminal,
  config: Config,
  options: ExplainOptions,
  request: Request,
): Promise<number> {
  const { policy, over, service } = options;
  const file = policy ?? (config.redis === undefined ? config.policyFile : undefined);
  if (file !== undefined) {
    try {
      const raw = await readPolicy(file, over, config.policyMaxBytes);
      return await withPolicyPackages(config, ({ find }) =>
        show(terminal, { config, raw, find, request, options }),
      );
    } catch (error) {
      if (!(error instanceof PolicyRefused)) throw error;
      for (const problem of error.problems)
        terminal.err(`${printable(problemText({ ...problem, document: problem.document ?? file }))}\n`);
      return 1;
    }
  }
  if (config.redis === undefined) {
    terminal.err(
      "there is no policy here: name a file with --policy, or set OUTRIGGER_POLICY_FILE or REDIS_URL\n",
    );
    return 2;
  }
  return await withPlane(terminal, service === undefined ? {} : { service }, async (plane) => {
    const { history, packages } = plane;
    const [shared, layer] = await Promise.all([history.peek(undefined), history.peek(config.service)]);
    if (shared.document === undefined) throw new PlaneRefusal("there is no policy in Redis");
    const keySets = await keySetsIn(plane);
    const raw: RawPolicy = {
      shared: shared.document,
      layer: layer.document,
      format: "json",
      keySets,
      standing: true,
    };
    return await show(terminal, { config, raw, find: packages.find, request, options });
  });
}

interface Shown {
  readonly config: Config;
  readonly raw: RawPolicy;
  readonly find: Parameters<typeof foresee>[2];
  readonly request: Request;
  readonly options: ExplainOptions;
}

async function show(terminal: Terminal, { config, raw, find, request, options }: Shown): Promise<number> {
  let foreseen: Awaited<ReturnType<typeof foresee>>;
  try {
    foreseen = await foresee(config, raw, find, request);
  } catch (error) {
    if (error instanceof PolicyRefused) throw error;
    terminal.err(`${printable(textOf(error))}\n`);
    return 1;
  }
  if (options.json) terminal.out(`${JSON.stringify(foreseen, null, 2)}\n`);
  else if (!("hooks" in foreseen)) {
    terminal.out(`${foreseen.status} before any route is looked for: ${printable(foreseen.because ?? "")}\n`);
  } else {
    printRequest(terminal, foreseen);
    terminal.err(
      "foreseen with a service that answers 200, counts and caches that are empty, and no plugin switched off\n",
    );
  }
  return 0;
}
