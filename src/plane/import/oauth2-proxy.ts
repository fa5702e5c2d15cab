// Converts the configuration of oauth2-proxy (`oauth2-proxy.cfg`): the login, who is let in, and which paths need no
// login.
import { type Imported, ImportError, listOf, textsOf, withoutEndSlashes } from "./imported.ts";

type Values = ReadonlyMap<string, unknown>;

const endsList = (line: string): boolean => line.endsWith("]") || line.includes("] #");

/** @returns the settings, one text each; lists over several lines are joined */
function settingsIn(text: string): string[] {
  const settings: string[] = [];
  let isOpen = false;
  for (const line of text.split("\n").map((each) => each.trim())) {
    if (line === "" || line.startsWith("#")) continue;
    if (isOpen) settings.push(`${settings.pop() ?? ""} ${line}`);
    else settings.push(line);
    isOpen = (isOpen || /=\s*\[/.test(line)) && !endsList(line);
  }
  return settings;
}

/** Parses the part of TOML that the file uses: `name = "text"`, `true`, a number, or a list over several lines. */
function readCfg(text: string): Values {
  const values = new Map<string, unknown>();
  for (const line of settingsIn(text)) {
    const [, name = "", value = ""] = /^\s*([\w-]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === "") throw new ImportError(`has a line that is no setting: ${line.trim().slice(0, 40)}`);
    values.set(name.replaceAll("-", "_"), valueOf(value, name));
  }
  return values;
}

function valueOf(text: string, name: string): unknown {
  const bare = text.replace(/^('(?:[^']*)'|"(?:[^"\\]|\\.)*")\s*#.*$/, "$1");
  try {
    return JSON.parse(
      bare.replace(/'([^']*)'/g, (_, inner: string) => JSON.stringify(inner)).replace(/,\s*\]$/, "]"),
    );
  } catch {
    throw new ImportError(`${name} has a value that is not understood`);
  }
}

/** Settings that the login here covers, or that the sidecar's settings replace. */
const handled = new Set([
  "provider",
  "oidc_issuer_url",
  "client_id",
  "client_secret",
  "client_secret_file",
  "redirect_url",
  "scope",
  "upstreams",
  "email_domains",
  "skip_auth_routes",
  "skip_auth_regex",
  "cookie_secret",
  "cookie_secret_file",
  "cookie_secure",
  "http_address",
  "pass_user_headers",
  "set_xauthrequest",
  "skip_provider_button",
  "session_store_type",
  "allowed_groups",
  "oidc_groups_claim",
  "skip_jwt_bearer_tokens",
  "code_challenge_method",
  "reverse_proxy",
]);

/**
 * Other settings that restrict who is let in. An import must not let in more people, so each gets a rule that lets
 * nobody in until somebody writes it.
 */
const narrowing =
  /^(?:authenticated_emails_file|allowed_roles|(?:bitbucket|gitea|github|gitlab|google|keycloak)_(?:group|org|project|repo|repository|role|team|user)s?|azure_tenant|entra_id_allowed_tenants)$/;

export function fromOauth2Proxy(text: string): Imported {
  const values = readCfg(text);
  if (!values.has("client_id"))
    throw new ImportError("has no client_id: it is no configuration of oauth2-proxy");
  const notes = [...values.keys()]
    .filter((name) => !handled.has(name))
    .map((name) =>
      narrowing.test(name)
        ? `${name}: write its rule under auth.rules by hand; the one that is there lets nobody in`
        : `${name}: is not carried over`,
    );
  if (values.get("reverse_proxy") === true)
    notes.push("reverse_proxy: name the networks of the proxies in OUTRIGGER_TRUSTED_PROXIES");
  const issuer = values.get("oidc_issuer_url");
  if (typeof issuer !== "string")
    notes.push(
      `provider ${String(values.get("provider"))}: write the provider's issuer into auth.jwt.login.issuer; only OpenID Connect is spoken`,
    );
  const auth = {
    exclude: excluded(values, notes),
    jwt: jwtOf(values, typeof issuer === "string" ? issuer : "https://issuer.example", notes),
    ...rulesOf(values, notes),
  };
  const { exclude, ...asked } = auth;
  return {
    from: "oauth2-proxy",
    policy: {
      apiVersion: "outrigger/v1",
      plugins: ["logging", "auth", "transform"],
      pluginConfig: { auth: exclude.length > 0 ? auth : asked },
    },
    notes: [
      ...notes,
      "the service gets X-User-Id, X-User-Scopes and X-User-Plan, in place of X-Forwarded-User and the like",
    ],
    settings: { ...settingsOf(values, notes), ...secretHostsOf(values, issuer) },
  };
}

function jwtOf(values: Values, issuer: string, notes: string[]): object {
  const redirect = values.get("redirect_url");
  if (typeof redirect !== "string" || !URL.canParse(redirect))
    notes.push("redirect_url: is needed, as auth.jwt.login.publicUrl: the origin that browsers see");
  const at =
    typeof redirect === "string" && URL.canParse(redirect)
      ? new URL(redirect)
      : new URL("https://app.example/oauth2/callback");
  const scope = values.get("scope");
  if (hasSecret(values))
    notes.push("client_secret: is not in the policy: give it as OUTRIGGER_SECRET_LOGIN_FILE");
  if (values.has("cookie_secret") || values.has("cookie_secret_file"))
    notes.push("cookie_secret: sessions begin anew, under OUTRIGGER_SESSION_KEYS");
  if (values.get("skip_jwt_bearer_tokens") === true)
    notes.push(
      "skip_jwt_bearer_tokens: name the issuer under auth.jwt.issuers for its bearer tokens to be taken",
    );
  return {
    login: {
      issuer,
      clientId: values.get("client_id"),
      ...(hasSecret(values) && { clientSecret: "SECRET_LOGIN" }),
      publicUrl: at.origin,
      ...(at.pathname !== "/oauth2/callback" && { callbackPath: at.pathname }),
      ...(typeof scope === "string" && {
        scopes: [...new Set(["openid", ...scope.split(/\s+/).filter(Boolean)])],
      }),
      ...(values.get("session_store_type") === "redis" && { sessions: "redis" }),
      ...(values.get("cookie_secure") === false && { secureCookie: false }),
    },
  };
}

/** Converts `GET=^/path/` and plain expressions, if they are a path or the beginning of one. */
function excluded(values: Values, notes: string[]): object[] {
  const entries = ["skip_auth_routes", "skip_auth_regex"].flatMap((name) =>
    textsOf(listOf(values.get(name))).map((text) => ({ name, text })),
  );
  return entries.flatMap(({ name, text }) => {
    const [, method, expression = ""] = /^(?:([A-Z]+)=)?(.*)$/.exec(text) ?? [];
    const plain = /^\^?(\/(?:[\w/-]|\\[.-])*)(\$|\/?\.\*\$?|\/?)$/.exec(expression);
    if (plain === null || !expression.startsWith("^")) {
      notes.push(`${name}: ${text} is no plain path; write it under auth.exclude by hand`);
      return [];
    }
    const path = withoutEndSlashes((plain[1] ?? "").replaceAll("\\", ""));
    const isExact = plain[2] === "$";
    if (!isExact && !expression.includes(`${path}/`))
      notes.push(`${name}: ${text} takes ${path}x as well; here it is ${path} and what lies below`);
    return [
      { path: isExact ? path || "/" : `${path}/*`, ...(method !== undefined && { methods: [method] }) },
    ];
  });
}

/** @returns the rules of who is let in; a caller must meet all of them */
function rulesOf(values: Values, notes: string[]): { rules?: object[] } {
  const domains = textsOf(listOf(values.get("email_domains"))).filter((domain) => domain !== "*");
  const groups = textsOf(listOf(values.get("allowed_groups")));
  if (domains.length > 0)
    notes.push(
      "email_domains: no rule ends with a text: have the provider say the domain in a claim (hd), which the rule asks for",
    );
  const domain =
    domains.length > 0 ? [{ name: "domains", allow: { claims: { hd: { oneOf: domains } } } }] : [];
  const claim = values.get("oidc_groups_claim");
  const name = typeof claim === "string" ? claim : "groups";
  const group =
    groups.length > 0 ? [{ name: "groups", allow: { claims: { [name]: { oneOf: groups } } } }] : [];
  const closed = [...values.keys()]
    .filter((each) => narrowing.test(each))
    .map((each) => ({ name: each, allow: { claims: { [each]: { equals: true } } } }));
  const rules = [...domain, ...group, ...closed];
  return rules.length > 0 ? { rules } : {};
}

const hasSecret = (values: Values): boolean =>
  values.has("client_secret") || values.has("client_secret_file");

/** Without this setting the sidecar refuses the policy: a secret is only sent to hosts that the setting binds it to. */
function secretHostsOf(values: Values, issuer: unknown): Record<string, string> {
  if (!hasSecret(values) || typeof issuer !== "string" || !URL.canParse(issuer)) return {};
  const { hostname, port, protocol } = new URL(issuer);
  const at = port === "" ? (protocol === "http:" ? "80" : "443") : port;
  return { OUTRIGGER_SECRET_HOSTS: `SECRET_LOGIN=${hostname}:${at}` };
}

function settingsOf(values: Values, notes: string[]): Record<string, string> {
  const upstreams = textsOf(listOf(values.get("upstreams")));
  const [first, ...further] = upstreams.filter((url) => /^https?:/.test(url));
  if (further.length > 0 || (first === undefined && upstreams.length > 0))
    notes.push("upstreams: only the first http address is taken; a route may name another");
  const { origin, pathname } = first === undefined ? { origin: undefined, pathname: "/" } : new URL(first);
  if (pathname !== "/") notes.push(`upstreams: ${first ?? ""}: routes say which paths go there`);
  const address = values.get("http_address");
  return {
    ...(origin === undefined ? {} : { OUTRIGGER_UPSTREAM: origin }),
    ...(typeof address === "string" ? { OUTRIGGER_LISTEN: address.replace(/^https?:\/\//, "") } : {}),
  };
}
