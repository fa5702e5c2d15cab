// Makes the signer of API key records for a command.
import type { Config } from "../config/config.ts";
import { KeyFileRefusal, readSigningKey } from "../plane/private-key.ts";
import { signDocument } from "../plane/sign.ts";
import type { RecordSigner } from "../plugin-api/commands.ts";
import { apiKeyType, openRecord } from "../policy/signature/records.ts";
import type { RedisStore } from "../redis/store.ts";
import { trustedIn } from "./plane-trust.ts";

/** Rejects with KeyFileRefusal when the key cannot be read, or sidecars do not accept it. */
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
