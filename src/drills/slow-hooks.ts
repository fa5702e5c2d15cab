// A plugin whose hooks do not end within their time limits while a drill says so.
import type { Exchange, Hooks } from "../plugin-api/contract.ts";
import type { Drill } from "./drill.ts";

const phases: ReadonlySet<string | symbol> = new Set(["onRequest", "onResponse", "onError", "recheck"]);

type Hook = (exchange: Exchange, ...more: readonly unknown[]) => unknown;

/** @param hooks of this plugin, whose own fields may be private: every call goes to them */
export function slowHooks(plugin: string, hooks: Hooks, drill: Drill): Hooks {
  // Of a frozen object a proxy has to return what is there: it stands for another one.
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

/** Resolves when the drill ends; rejects when nobody waits for the hook any more. */
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
