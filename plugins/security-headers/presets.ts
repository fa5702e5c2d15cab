// The values of each preset, field by field; undefined = the field is not sent.

export interface FieldValues {
  readonly strictTransportSecurity: string | undefined;
  readonly contentSecurityPolicy: string | undefined;
  readonly contentSecurityPolicyReportOnly: string | undefined;
  readonly frameOptions: string | undefined;
  readonly contentTypeOptions: string | undefined;
  readonly referrerPolicy: string | undefined;
  readonly permissionsPolicy: string | undefined;
  readonly crossOriginOpenerPolicy: string | undefined;
  readonly crossOriginEmbedderPolicy: string | undefined;
  readonly crossOriginResourcePolicy: string | undefined;
}

const off: FieldValues = {
  strictTransportSecurity: undefined,
  contentSecurityPolicy: undefined,
  contentSecurityPolicyReportOnly: undefined,
  frameOptions: undefined,
  contentTypeOptions: undefined,
  referrerPolicy: undefined,
  permissionsPolicy: undefined,
  crossOriginOpenerPolicy: undefined,
  crossOriginEmbedderPolicy: undefined,
  crossOriginResourcePolicy: undefined,
};

// Without includeSubDomains: one service does not decide for the hosts below its own.
const oneYear = "max-age=31536000";

export const presets: Readonly<Record<"api" | "web" | "off", FieldValues>> = {
  off,
  // Answers are data: no page may show, frame or run them.
  api: {
    ...off,
    strictTransportSecurity: oneYear,
    contentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'",
    frameOptions: "DENY",
    contentTypeOptions: "nosniff",
    referrerPolicy: "no-referrer",
    crossOriginResourcePolicy: "same-origin",
  },
  web: {
    ...off,
    strictTransportSecurity: oneYear,
    contentSecurityPolicy:
      "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'",
    frameOptions: "SAMEORIGIN",
    contentTypeOptions: "nosniff",
    referrerPolicy: "strict-origin-when-cross-origin",
    permissionsPolicy: "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    // Windows that the page opens itself (a login, a payment) still reach it.
    crossOriginOpenerPolicy: "same-origin-allow-popups",
    crossOriginResourcePolicy: "same-origin",
  },
};
