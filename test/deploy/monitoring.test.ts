// deploy/prometheus and deploy/grafana: promtool accepts them, and they use only metrics and labels that sidecars have.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parse } from "yaml";
import { z } from "zod";
import { dashboardFiles } from "../../deploy/grafana/generate.ts";
import { makeCertificate } from "../support/certificate.ts";
import { codeText, declaredMetrics } from "../support/declared-metrics.ts";
import { root } from "../support/dockerfile.ts";
import { askedBy } from "../support/promql.ts";
import { startRedis } from "../support/redis.ts";
import { startSidecar } from "../support/sidecar.ts";

const rules = ["recording-rules.yaml", "alerting-rules.yaml"].map((name) =>
  join(root, "deploy/prometheus", name),
);

const ruleFile = z.strictObject({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.union([
          z.strictObject({ record: z.string(), expr: z.string() }),
          z.strictObject({
            alert: z.string().startsWith("Outrigger"),
            expr: z.string(),
            for: z.string().optional(),
            labels: z.strictObject({ severity: z.enum(["page", "ticket"]) }),
            annotations: z.strictObject({
              summary: z.string(),
              description: z.string(),
              runbook: z.string(),
            }),
          }),
        ]),
      ),
    }),
  ),
});

const allRules = rules
  .map((file) => ruleFile.parse(parse(readFileSync(file, "utf8"))))
  .flatMap(({ groups }) => groups.flatMap((group) => group.rules));
const records = new Map(allRules.flatMap((rule) => ("record" in rule ? [[rule.record, rule.expr]] : [])));
const alerts = allRules.flatMap((rule) => ("alert" in rule ? [rule] : []));

const target = z.looseObject({ refId: z.string(), expr: z.string().min(1), legendFormat: z.string() });
const area = z.strictObject({ x: z.int().min(0), y: z.int(), w: z.int().max(24), h: z.int().min(1) });
const drawn = z.looseObject({
  id: z.int(),
  type: z.enum(["row", "table", "timeseries"]),
  title: z.string().min(1),
  gridPos: area,
  targets: z.array(target).min(1).optional(),
});
const dashboard = z.looseObject({
  uid: z.string().regex(/^outrigger-[a-z]{1,30}$/),
  title: z.string(),
  panels: z.array(drawn),
  templating: z.strictObject({ list: z.array(z.looseObject({ name: z.string() })) }),
});

const folder = join(root, "deploy/grafana");
const boards = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => dashboard.parse(JSON.parse(readFileSync(join(folder, name), "utf8"))));
const drawnExprs = boards.flatMap(({ panels }) =>
  panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
);

function promtool(...args: readonly string[]): void {
  const { status, stdout, stderr, error } = spawnSync("promtool", args, { encoding: "utf8" });
  assert.equal(status, 0, `${stdout}${stderr}${String(error ?? "")}`);
}

/** Metrics that are there once what they count has happened, which this file does not make happen. */
const onlyOnEvents = [
  // Of `outrigger sync`, which is no sidecar.
  "outrigger_sync_documents",
  "outrigger_sync_last_success_timestamp_seconds",
  "outrigger_plugin_over_budget",
  "outrigger_plugin_http_duration_seconds",
  "outrigger_plugin_db_queries_total",
  "outrigger_plugin_quota_refusals_total",
  "outrigger_plugin_effects_dropped_total",
];

const everyPlugin = {
  plugins: ["logging", "cors", "auth", "rate-limit", "cache", "transform"],
  pluginConfig: {
    logging: { stream: true },
    cors: { origins: ["https://app.example"] },
    auth: {
      exclude: ["/open/*"],
      apiKeys: { headers: ["x-api-key"] },
      rules: [{ path: "/rule", allow: { scopes: { all: ["read"] } } }],
    },
    "rate-limit": {
      limits: [{ name: "few", by: "ip", limit: 1, window: "1h" }],
      overload: {},
    },
    cache: { ttlSeconds: 60 },
  },
};

/** @returns the text of /metrics of a sidecar with everything on */
async function scrape(): Promise<string> {
  const redis = await startRedis();
  const place = mkdtempSync(join(tmpdir(), "outrigger-monitoring-"));
  const { key, cert } = makeCertificate();
  writeFileSync(join(place, "key.pem"), key);
  writeFileSync(join(place, "cert.pem"), cert);
  const options = { redisUrl: redis.url, policy: everyPlugin, upstream: "http://127.0.0.1:9" };
  const traced = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9" };
  const tls = { OUTRIGGER_TLS_CERT: join(place, "cert.pem"), OUTRIGGER_TLS_KEY: join(place, "key.pem") };
  await redis.cli.set("outrigger:policy", JSON.stringify({ apiVersion: "outrigger/v1", ...everyPlugin }));
  const plain = await startSidecar({ ...options, env: traced });
  const secured = await startSidecar({ ...options, env: { ...traced, ...tls } });
  try {
    for (const path of ["/open/a", "/open/a", "/closed"]) await (await fetch(plain.url + path)).text();
    return `${await plain.metrics()}\n${await secured.metrics()}`;
  } finally {
    await Promise.all([plain.stop(), secured.stop()]);
    await redis.close();
    rmSync(place, { recursive: true });
  }
}

describe("rules and dashboards", () => {
  const declared = declaredMetrics();
  const scraped = new Map<string, Set<string>>();
  before(async () => {
    const text = await scrape();
    for (const [, name = ""] of text.matchAll(/^# TYPE (\S+)/gm)) scraped.set(name, new Set());
    for (const [, name = "", list = ""] of text.matchAll(/^(\w+)\{([^}]*)\}/gm)) {
      const labels = scraped.get(familyOf(name));
      for (const [, label = ""] of list.matchAll(/(\w+)="/g)) labels?.add(label);
    }
  });

  const familyOf = (name: string): string => name.match(/^(.*)_(?:bucket|sum|count)$/)?.[1] ?? name;
  const isThere = (name: string): boolean => scraped.has(name) || scraped.has(familyOf(name));

  /** Labels that a series of this name may have. */
  function labelsOf(name: string): readonly string[] {
    const record = records.get(name);
    if (record !== undefined) return askedBy(record).grouped;
    const family = scraped.has(name) || declared.has(name) ? name : familyOf(name);
    const bucket = name.endsWith("_bucket") ? ["le"] : [];
    // Every sidecar adds `service`, of its workers `worker`; Prometheus adds the other two.
    return [
      ...(declared.get(family) ?? []),
      ...(scraped.get(family) ?? []),
      ...bucket,
      "service",
      "job",
      "instance",
    ];
  }

  test("the code declares what a sidecar shows, with these labels", () => {
    const shown = [...scraped].filter(([name]) => name.startsWith("outrigger_"));
    assert.ok(shown.length > 30, String(shown.length));
    // Labels are seen on series alone: requests, and every plugin's answers to them, have to be among these.
    for (const name of [
      "requests_total",
      "auth_total",
      "rate_limit_total",
      "cache_requests_total",
      "plugin_duration_seconds",
    ])
      assert.ok((scraped.get(`outrigger_${name}`)?.size ?? 0) > 1, name);
    for (const [name, labels] of shown) {
      const own = [...labels].filter((label) => label !== "service" && label !== "le");
      if (own.length > 0) assert.deepEqual([...own].sort(), [...(declared.get(name) ?? [])].sort(), name);
      else assert.ok(declared.has(name), name);
    }
  });

  test("metrics that only events bring are declared, and not there before", () => {
    for (const name of onlyOnEvents) {
      assert.ok(declared.has(name), `${name} is not declared`);
      assert.ok(!scraped.has(name), `${name} is there without its event`);
    }
  });

  for (const [what, exprs] of [
    ["recording rules", [...records.values()]],
    ["alerts", alerts.map(({ expr }) => expr)],
    ["dashboards", drawnExprs],
  ] as const) {
    test(`${what} ask for metrics, labels and values that there are`, () => {
      for (const expr of exprs) {
        const { metrics, labels, values } = askedBy(expr);
        assert.ok(metrics.length > 0 || /ALERTS|^vector/.test(expr), `no metric in ${expr}`);
        for (const name of metrics) {
          const known = records.has(name) || isThere(name) || onlyOnEvents.includes(familyOf(name));
          assert.ok(known, `${name} in ${expr}`);
        }
        const known = metrics.flatMap(labelsOf);
        if (!expr.startsWith("ALERTS"))
          for (const label of labels) assert.ok(known.includes(label), `label ${label} in ${expr}`);
        for (const value of values)
          assert.ok(value === "firing" || codeText.includes(`"${value}"`), `value ${value} in ${expr}`);
      }
    });
  }
});

describe("Prometheus' rules", () => {
  test("promtool takes them", () => promtool("check", "rules", ...rules));

  test("they fire when they should, and only then", () =>
    promtool("test", "rules", join(root, "test/deploy/alerts.yaml")));

  test("each alert has a case", () => {
    const cases = readFileSync(join(root, "test/deploy/alerts.yaml"), "utf8");
    for (const { alert } of alerts) assert.ok(cases.includes(`alertname="${alert}"`), alert);
  });

  test("each alert's runbook is a heading that there is", () => {
    for (const { alert, annotations } of alerts) {
      const [file = "", anchor] = annotations.runbook.split("#");
      const text = readFileSync(join(root, file), "utf8");
      const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w -]/g, "")
          .replaceAll(" ", "-"),
      );
      if (anchor !== undefined) assert.ok(anchors.includes(anchor), `${alert}: ${annotations.runbook}`);
    }
  });

  test("each setting that an alert's text names is one", () => {
    const readme = readFileSync(join(root, "README.md"), "utf8");
    for (const { annotations } of alerts)
      for (const name of annotations.description.match(/\b(?:OUTRIGGER|OTEL)_[A-Z_]+/g) ?? [])
        assert.ok(readme.includes(`| \`${name}\` |`), name);
  });
});

describe("Grafana's dashboards", () => {
  const place = mkdtempSync(join(tmpdir(), "outrigger-dashboards-"));
  after(() => rmSync(place, { recursive: true }));

  test("are what deploy/grafana/generate.ts writes", () => {
    const files = dashboardFiles();
    assert.deepEqual(
      readdirSync(folder)
        .filter((name) => name.endsWith(".json"))
        .sort(),
      [...files.keys()].sort(),
    );
    for (const [name, text] of files) assert.equal(readFileSync(join(folder, name), "utf8"), text, name);
  });

  test("have ids of their own, variables, and panels beside each other that draw something", () => {
    assert.equal(new Set(boards.map(({ uid }) => uid)).size, boards.length);
    for (const { title, panels, templating } of boards) {
      assert.deepEqual(
        templating.list.map(({ name }) => name),
        ["datasource", "service"],
      );
      assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
      for (const { type, targets, title: panel } of panels)
        assert.ok(type === "row" || targets !== undefined, `${title}: ${panel}`);
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: h }, (_, row) =>
          Array.from({ length: w }, (_, column) => `${x + column},${y + row}`),
        ).flat(),
      );
      assert.equal(new Set(cells).size, cells.length, `${title}: panels overlap`);
    }
  });

  test("ask in PromQL", () => {
    const filled = drawnExprs.map((expr) =>
      expr.replaceAll("$__rate_interval", "5m").replaceAll("$service", ".*"),
    );
    const file = join(place, "exprs.yaml");
    const listed = filled.map((expr, i) => ({ record: `drawn:${i}`, expr }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: "drawn", rules: listed }] }));
    promtool("check", "rules", file);
  });
});
