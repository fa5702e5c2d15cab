// Makes the hooks of a plugin exceed their time limits while a drill says so.
import type { Exchange, Hooks } from "../plugin-api/contract.ts";
import type { Drill } from "./drill.ts";

const phases: ReadonlySet<string | symbol> = new Set(["onRequest", "onResponse", "onError", "recheck"]);

type Hook = (exchange: Exchange, ...more: readonly unknown[]) => unknown;

/** @param hooks the plugin's hooks. They may have private fields, so every call runs on them and not on the proxy. */
export function slowHooks(plugin: string, hooks: Hooks, drill: Drill): Hooks {
  // A proxy of a frozen object must return that object's own values, so this one has another target.
  return new Proxy(Object.create(hooks) as Hooks, {
    get(_target, key) {
      const value: unknown = Reflect.get(hooks, key, hooks);
      if (typeof value !== "function") return value;
      const call = value.bind(hooks) as Hook;
      if (!phases.has(key)) return call;
      return (exchange: Exchange, ...more: readonly unknown[]): unknown => {
        if (drill.fault?.plugin !== plugin) return call(exchange, ...more);
        return untilOver(drill, exchange.signal).then(() => call(exchange, ...more));
      };
    },
  });
}

/** Resolves when the drill ends; rejects when the hook's signal aborts. */
function untilOver(drill: Drill, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => {
      forget();
      reject(signal.reason as Error);
    };
    const forget = drill.onChange(() => {
      forget();
      signal.removeEventListener("abort", gone);
      resolve();
    });
    if (signal.aborted) gone();
    else signal.addEventListener("abort", gone, { once: true });
  });
}
