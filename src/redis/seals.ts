// Seals values in Redis so that only sidecars can have written them: HMAC-SHA-256 under OUTRIGGER_STORE_KEYS. An
// attacker who can write to Redis, but has no key, can only remove values. A value of another key, purpose or service,
// an expired one, and one of the attacker's making are all refused.
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { StoreSeal, StoreSeals } from "../plugin-api/store.ts";

const macBytes = 32;
/** The format: "OSM" and its version, the expiry in epoch milliseconds, the MAC, then the value. */
const magic = Buffer.from("OSM1");
const macAt = magic.length + 6;
const headBytes = macAt + macBytes;

/**
 * @param text keys as base64url of 32 bytes, comma-separated, the newest first
 * @throws Error if it holds anything else
 */
export function parseStoreKeys(text: string): readonly string[] {
  return text.split(",").map((member) => {
    const key = member.trim();
    if (!/^[A-Za-z0-9_-]{43}=?$/.test(key))
      throw new Error("must hold keys of 32 bytes in base64url, comma-separated");
    return key;
  });
}

/**
 * @param texts keys of `parseStoreKeys`: the first one seals, all can open
 * @param keyPrefix of the store: it separates two fleets in one Redis
 */
export function createSeals(texts: readonly string[], keyPrefix: string, service: string): StoreSeals {
  const keys = texts.map((text) => Buffer.from(text, "base64url"));
  return {
    of(purpose) {
      const info = JSON.stringify(["outrigger store", 1, keyPrefix, service, purpose]);
      return createSeal(keys.map((key) => Buffer.from(hkdfSync("sha256", key, "", info, macBytes))));
    },
  };
}

function createSeal(keys: readonly Buffer[]): StoreSeal {
  return {
    seal(key, value, untilMs) {
      const head = Buffer.alloc(headBytes);
      magic.copy(head);
      head.writeUIntBE(Math.floor(untilMs), magic.length, 6);
      mac(keys[0] as Buffer, key, head, value).copy(head, macAt);
      return Buffer.concat([head, value]);
    },
    open(key, sealed, nowMs) {
      if (sealed.length < headBytes || !sealed.subarray(0, magic.length).equals(magic)) return undefined;
      if (sealed.readUIntBE(magic.length, 6) < nowMs) return undefined;
      const value = sealed.subarray(headBytes);
      const given = sealed.subarray(macAt, headBytes);
      return keys.some((one) => timingSafeEqual(mac(one, key, sealed, value), given)) ? value : undefined;
    },
  };
}

/** The MAC over the key with its length, the head before the MAC, and the value. */
function mac(secret: Buffer, key: string, head: Buffer, value: Buffer): Buffer {
  return createHmac("sha256", secret)
    .update(`${Buffer.byteLength(key)}:${key}`)
    .update(head.subarray(0, macAt))
    .update(value)
    .digest();
}
