// Signs the records of API keys for a command, with a key that counts.
import type { Config } from "../config/config.ts";
import { KeyFileRefusal, readSigningKey } from "../plane/private-key.ts";
import { signDocument } from "../plane/sign.ts";
import type { RecordSigner } from "../plugin-api/commands.ts";
import { apiKeyType, openRecord } from "../policy/signature/records.ts";
import type { RedisStore } from "../redis/store.ts";
import { trustedIn } from "./plane-trust.ts";

/** Rejects with KeyFileRefusal. */
export async function createRecordSigner(
  config: Config,
  store: RedisStore,
  keyFile: string,
): Promise<RecordSigner> {
  const key = await readSigningKey(keyFile);
  const trusted = await trustedIn({ config, store }, key);
  if (!trusted.some(({ thumbprint }) => thumbprint === key.kid))
    throw new KeyFileRefusal(
      `${keyFile}: this key is none of OUTRIGGER_POLICY_KEYS: sidecars would refuse it`,
    );
  return {
    sign: (storeKey, record) => signDocument(record, key, { typ: apiKeyType, for: storeKey }, Date.now()),
    isSigned: async (storeKey, text) =>
      (await openRecord(storeKey, text, apiKeyType, trusted, Date.now())) !== undefined,
  };
}
