// Makes a certificate for a server of the sidecar, and an authority for only that, where nobody runs an authority.
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { der, elementsIn } from "./der.ts";

export interface Issued {
  /** PEM. The authority's key is not kept, so it can never issue another certificate. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface IssueOptions {
  /** DNS names; the first is also the subject. */
  readonly names: readonly string[];
  /** Epoch milliseconds. */
  readonly nowMs: number;
  readonly days: number;
}

const dayMs = 86_400_000;
/** The clocks of the API server and of this machine may differ. */
const backdatedMs = 3_600_000;

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  text: 0x0c,
  utcTime: 0x17,
  time: 0x18,
  sequence: 0x30,
  set: 0x31,
  /** In a SubjectAltName: a DNS name. */
  dnsName: 0x82,
  keyIdentifier: 0x80,
  version: 0xa0,
  extensions: 0xa3,
};
/** RFC 5280 sections 4.1 and 4.2, RFC 5758 section 3.2. */
const oids = {
  commonName: "550403",
  ecdsaSha256: "2a8648ce3d040302",
  subjectKey: "551d0e",
  keyUsage: "551d0f",
  alternativeNames: "551d11",
  basicConstraints: "551d13",
  authorityKey: "551d23",
  extendedUsage: "551d25",
  serverAuth: "2b06010505070301",
};

const oid = (hex: string): Buffer => der(tags.oid, Buffer.from(hex, "hex"));
const sequence = (...parts: readonly Buffer[]): Buffer => der(tags.sequence, ...parts);
const algorithm = sequence(oid(oids.ecdsaSha256));

/** Makes the certificate and its authority, which expire together. P-256 is accepted by every TLS client. */
export function issueCertificate({ names, nowMs, days }: IssueOptions): Issued {
  const authority = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const [subject = "outrigger"] = names;
  // RFC 5280 section 4.2.1.1: chains are built by name and key. Each renewal has another authority and needs its name.
  const issuer = name(`outrigger authority ${randomBytes(4).toString("hex")}`);
  const span = validity(nowMs - backdatedMs, nowMs + days * dayMs);
  const by = { issuer, span, key: authority.privateKey };
  const issuerKey = keyIdentifier(authority.publicKey);
  return {
    ca: certificate({ ...by, subject: issuer, publicKey: authority.publicKey }, [
      extension(oids.basicConstraints, sequence(der(tags.boolean, Buffer.from([0xff])), integer([0])), true),
      // keyCertSign
      extension(oids.keyUsage, der(tags.bits, Buffer.from([2, 0x04])), true),
      extension(oids.subjectKey, der(tags.octets, issuerKey)),
    ]),
    cert: certificate({ ...by, subject: name(subject.slice(0, 64)), publicKey: own.publicKey }, [
      extension(oids.basicConstraints, sequence(), true),
      // digitalSignature
      extension(oids.keyUsage, der(tags.bits, Buffer.from([7, 0x80])), true),
      extension(oids.extendedUsage, sequence(oid(oids.serverAuth))),
      extension(
        oids.alternativeNames,
        sequence(...names.map((each) => der(tags.dnsName, Buffer.from(each)))),
      ),
      extension(oids.subjectKey, der(tags.octets, keyIdentifier(own.publicKey))),
      extension(oids.authorityKey, sequence(der(tags.keyIdentifier, issuerKey))),
    ]),
    key: own.privateKey.export({ type: "pkcs8", format: "pem" }),
  };
}

interface Body {
  readonly issuer: Buffer;
  readonly span: Buffer;
  readonly subject: Buffer;
  readonly publicKey: KeyObject;
  /** The issuer's key. */
  readonly key: KeyObject;
}

function certificate({ issuer, span, subject, publicKey, key }: Body, extensions: readonly Buffer[]): string {
  // RFC 5280 section 4.1.2.2: the serial number is positive; it is also unpredictable.
  const serial = [0x40 | (randomBytes(1).readUInt8() & 0x3f), ...randomBytes(15)];
  const body = sequence(
    der(tags.version, integer([2])),
    integer(serial),
    algorithm,
    issuer,
    span,
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    der(tags.extensions, sequence(...extensions)),
  );
  const whole = sequence(body, algorithm, bits(sign("sha256", body, key)));
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

function integer(bytes: readonly number[]): Buffer {
  return der(tags.integer, Buffer.from(bytes));
}

function bits(bytes: Buffer): Buffer {
  return der(tags.bits, Buffer.from([0]), bytes);
}

function name(commonName: string): Buffer {
  return sequence(der(tags.set, sequence(oid(oids.commonName), der(tags.text, Buffer.from(commonName)))));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  const mark = critical ? [der(tags.boolean, Buffer.from([0xff]))] : [];
  return sequence(oid(id), ...mark, der(tags.octets, value));
}

function validity(fromMs: number, toMs: number): Buffer {
  return sequence(time(fromMs), time(toMs));
}

/** RFC 5280 section 4.1.2.5: the year has two digits until 2049. */
function time(ms: number): Buffer {
  const text = `${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+Z$/g, "")}Z`;
  return Number(text.slice(0, 4)) < 2050
    ? der(tags.utcTime, Buffer.from(text.slice(2)))
    : der(tags.time, Buffer.from(text));
}

/** RFC 5280 section 4.2.1.2: a hash of only the key's bits. */
function keyIdentifier(publicKey: KeyObject): Buffer {
  const [info] = elementsIn(publicKey.export({ type: "spki", format: "der" }));
  const [, key] = elementsIn(info?.content ?? Buffer.alloc(0));
  return createHash("sha1")
    .update(key?.content.subarray(1) ?? "")
    .digest();
}
