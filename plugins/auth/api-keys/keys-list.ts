// `outrigger keys list`: prints every API key with its state and the services that use it, but no key and no digest.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { durationText } from "../../../src/language/duration.ts";
import { endOf, type ListedKey } from "./key-ring.ts";
import { withKeyRing } from "./with-key-ring.ts";

function stateOf({ record }: ListedKey, nowMs: number): string {
  if (record === undefined) return "unreadable";
  if (record.disabled === true) return "revoked";
  const endMs = endOf(record);
  if (endMs <= nowMs) return "expired";
  const replaced = record.replacedBy === undefined ? "" : `, replaced by ${record.replacedBy}`;
  return endMs === Infinity ? "active" : `ends in ${durationText(endMs - nowMs)}${replaced}`;
}

function usesText(uses: ListedKey["uses"], nowMs: number): string {
  const latest = Object.entries(uses).sort(([, a], [, b]) => b - a);
  if (latest.length === 0) return "never used";
  return latest.map(([service, atMs]) => `${service} ${durationText(nowMs - atMs)} ago`).join(", ");
}

function jsonOf(listed: ListedKey, nowMs: number): Record<string, unknown> {
  const { record, uses } = listed;
  const lastUse = Object.fromEntries(
    Object.entries(uses).map(([service, ms]) => [service, new Date(ms).toISOString()]),
  );
  return { ...record, state: stateOf(listed, nowMs), lastUse };
}

/** @returns the exit code */
export async function listKeys(context: CommandContext): Promise<number> {
  return await withKeyRing(context, async (ring) => {
    const keys = await ring.list();
    const nowMs = Date.now();
    if (context.json) {
      context.out(
        `${JSON.stringify(
          keys.map((listed) => jsonOf(listed, nowMs)),
          null,
          2,
        )}\n`,
      );
      return 0;
    }
    const rows = keys.map((listed) => {
      const { record } = listed;
      const who = [
        record?.id ?? "?",
        record?.userId ?? "?",
        record?.plan ?? "-",
        record?.scopes.join(",") || "-",
      ];
      return [...who, stateOf(listed, nowMs), usesText(listed.uses, nowMs)];
    });
    context.table(["ID", "USER", "PLAN", "SCOPES", "STATE", "LAST USE"], rows);
    return 0;
  });
}
