// Looks for `outrigger check` at the API keys in Redis: keys that end soon, and records that cannot be read.
import type { CheckContext, CheckFinding } from "../../../src/plugin-api/contract.ts";
import { StoreUnavailable } from "../../../src/plugin-api/contract.ts";
import { durationText } from "../../../src/language/duration.ts";
import { parsePeppers } from "./key-format.ts";
import { endOf, KeyRing, type ListedKey } from "./key-ring.ts";

const soonMs = 14 * 86_400_000;
const maxNamed = 5;

export async function checkApiKeys(context: CheckContext): Promise<readonly CheckFinding[]> {
  const { store, nowMs } = context;
  if (store === undefined) return [];
  try {
    const keys = await new KeyRing(store, parsePeppers(context.secret("API_KEY_PEPPER"))).list();
    const found = [...unreadable(keys), ...ending(keys, nowMs)];
    if (found.length > 0 || keys.length === 0) return found;
    return [
      { name: "api-keys", state: "ok", message: `${keys.length} in Redis, none ends within two weeks` },
    ];
  } catch (error) {
    if (!(error instanceof StoreUnavailable) || error.code !== "NOPERM") throw error;
    // A sidecar's Redis user may read the key that a caller shows, but not list keys.
    return [{ name: "api-keys", state: "ok", message: "not looked at: this user may not list them" }];
  }
}

function unreadable(keys: readonly ListedKey[]): CheckFinding[] {
  const count = keys.filter(({ record }) => record === undefined).length;
  if (count === 0) return [];
  const message = `${count === 1 ? "a record" : `${count} records`} cannot be read: who shows such a key gets 503`;
  return [{ name: "api-keys", state: "fail", message, advice: "outrigger keys list shows them" }];
}

function ending(keys: readonly ListedKey[], nowMs: number): CheckFinding[] {
  const soon = keys
    .flatMap(({ record }) => record ?? [])
    .filter((record) => record.disabled !== true && record.replacedBy === undefined)
    .map((record) => ({ id: record.id, userId: record.userId, leftMs: endOf(record) - nowMs }))
    .filter(({ leftMs }) => leftMs > 0 && leftMs < soonMs)
    .toSorted((a, b) => a.leftMs - b.leftMs);
  if (soon.length === 0) return [];
  const named = soon
    .slice(0, maxNamed)
    .map(({ id, userId, leftMs }) => `${id} of ${userId} in ${durationText(leftMs)}`);
  const more = soon.length > maxNamed ? ` and ${soon.length - maxNamed} more` : "";
  return [
    {
      name: "api-keys",
      state: "warn",
      message: `end soon: ${named.join(", ")}${more}`,
      advice: "outrigger keys rotate ID makes one in its place",
    },
  ];
}
