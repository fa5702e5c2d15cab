// Injects faults into a plugin on the real chain. Whatever the plugin does or suffers, the sidecar must go on serving
// and the fail mode must hold.
import type { Example } from "./example.ts";
import { bad, type Finding, good } from "../finding.ts";
import { answer, faultsAround, isClosed, type Usual } from "./faults-around.ts";
import type { LoadedPlugin } from "./loaded.ts";
import { type BrokenHook, type HookName, Scene, type Status } from "./scene.ts";

const swaps = 10;

/** Yields findings as they are made. Rejects when the plugin cannot be set up at all. */
export async function* faultFindings(loaded: LoadedPlugin, example: Example): AsyncGenerator<Finding> {
  const usually = yield* chainFaults(loaded, example);
  yield* faultsAround(loaded, example, usually);
}

/** Tests faults of the plugin itself. @returns how the example's request is answered without a fault */
export async function* chainFaults(loaded: LoadedPlugin, example: Example): AsyncGenerator<Finding, Usual> {
  let served = 0;
  const scene = await Scene.of(loaded, example, {
    upstream(request, response) {
      served += 1;
      answer(request, response);
    },
  });
  let usually: Usual;
  try {
    const usual = await scene.ask();
    usually = { usual, isServed: served > 0 };
    yield await exampleFinding(scene, example, usual);
    for (const hook of scene.hooks) yield* hookFaults(scene, loaded, hook, usual);
    yield await manyPolicies(scene);
  } finally {
    await scene.sidecar.stop();
  }
  yield everythingClosed(scene);
  return usually;
}

/**
 * Checks the example before any fault. If a hook fails here, the plugin is at fault, and its fail mode would hide that.
 */
async function exampleFinding(scene: Scene, { request }: Example, usual: Status): Promise<Finding> {
  const text = `${request.method} ${request.path} is answered ${usual}`;
  const failed = await scene.failedHooks();
  if (failed.length > 0) return bad("example", `${text}, and ${failed.join(", ")} failed`);
  return typeof usual === "number" ? good("example", text) : bad("example", text);
}

/** Sends one request with a broken hook, then one with the hook working again. */
async function* hookFaults(
  scene: Scene,
  loaded: LoadedPlugin,
  hook: HookName,
  usual: Status,
): AsyncGenerator<Finding> {
  // `onError` runs only when an upstream fails: "service down" tests it.
  if (hook === "onError") return;
  const ways: readonly BrokenHook["how"][] = hook === "onComplete" ? ["throws"] : ["throws", "hangs"];
  for (const how of ways) {
    const wanted = wantedWith(loaded, hook, usual);
    scene.broken = { hook, how };
    const during = await scene.ask();
    scene.broken = undefined;
    const after = await scene.ask();
    const mode = isClosed(loaded) ? "closed" : "open";
    const text = `${during} (fails ${mode}), then ${after} again`;
    const isRight = during === wanted && after === usual && (await scene.status("livez")) === 200;
    yield isRight
      ? good(`${hook} ${how}`, text)
      : bad(`${hook} ${how}`, `${text}; ${wanted} and ${usual} were to come`);
  }
}

/** @returns the status that clients must get while that hook is broken */
function wantedWith(loaded: LoadedPlugin, hook: HookName, usual: Status): Status {
  if (hook === "onComplete") return usual;
  if (isClosed(loaded)) return 503;
  // Without the plugin's answer the request goes to the service.
  return hook === "onRequest" ? 200 : usual;
}

/** Replaces the policy many times while requests run: every request must get its answer. */
async function manyPolicies(scene: Scene): Promise<Finding> {
  const what = `${swaps} policies in a row`;
  const answers: Status[] = [];
  const wrong = new Set<Status>();
  const usual = await scene.ask();
  for (let swap = 1; swap <= swaps; swap++) {
    const before = scene.setups;
    scene.sidecar.setPolicy(scene.policy({ routes: [{ path: "/*", timeout: 1_000 + swap }] }));
    const isSet = await scene.until(async () => {
      answers.push(await scene.ask());
      return scene.setups > before;
    });
    if (!isSet) return bad(what, `policy ${swap} was not taken in time`);
  }
  for (const answer of answers) if (answer !== usual) wrong.add(answer);
  const text = `${answers.length} requests meanwhile`;
  return wrong.size === 0 ? good(what, text) : bad(what, `${text}, some answered ${[...wrong].join(", ")}`);
}

function everythingClosed({ setups, closes, inits, disposes }: Scene): Finding {
  const text = `${setups} set up, ${closes} closed; ${inits} begun, ${disposes} ended`;
  const isRight = setups === closes && inits === disposes;
  return isRight
    ? good("everything is closed", text)
    : bad("everything is closed", `${text}: close and dispose must end`);
}
