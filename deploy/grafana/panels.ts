// Parts of Grafana's dashboards: panels in rows of a grid that is 24 wide, and variables for the data source and the
// service.

export interface Query {
  readonly expr: string;
  /** Name of a series: Grafana fills in `{{label}}`. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  /** What the reader needs to know to judge the figures. */
  readonly description: string;
  readonly unit: "short" | "reqps" | "ops" | "percentunit" | "s" | "bytes" | "dtdurations" | "bool_yes_no";
  readonly queries: readonly Query[];
  /** Shows a list of current values instead of lines over time. */
  readonly kind?: "table";
  readonly stacked?: boolean;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: Readonly<Record<string, readonly Panel[]>>;
}

const datasource = { type: "prometheus", uid: "${datasource}" };
const height = 8;
const width = 8;
const perLine = 3;

export const panel = (
  title: string,
  unit: Panel["unit"],
  description: string,
  ...queries: readonly (readonly [expr: string, legend: string])[]
): Panel => ({ title, unit, description, queries: queries.map(([expr, legend]) => ({ expr, legend })) });

function customOf({ stacked }: Panel) {
  return { lineWidth: 1, fillOpacity: stacked ? 30 : 5, stacking: { mode: stacked ? "normal" : "none" } };
}

function panelJson(one: Panel, id: number, index: number, y: number) {
  const isTable = one.kind === "table";
  return {
    id,
    type: one.kind ?? "timeseries",
    title: one.title,
    description: one.description,
    datasource,
    gridPos: {
      x: (index % perLine) * width,
      y: y + Math.floor(index / perLine) * height,
      w: width,
      h: height,
    },
    fieldConfig: {
      defaults: { unit: one.unit, min: 0, ...(isTable ? {} : { custom: customOf(one) }) },
      overrides: [],
    },
    options: isTable
      ? { showHeader: true }
      : { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
    targets: one.queries.map(({ expr, legend }, i) => ({
      refId: String.fromCodePoint(65 + i),
      datasource,
      expr,
      legendFormat: legend,
      ...(isTable ? { instant: true, format: "table" } : {}),
    })),
  };
}

function panelsJson(rows: Dashboard["rows"]): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const [title, row] of Object.entries(rows)) {
    const gridPos = { x: 0, y, w: 24, h: 1 };
    panels.push({ id: panels.length + 1, type: "row", title, collapsed: false, gridPos, panels: [] });
    y += 1;
    const first = panels.length + 1;
    row.forEach((one, index) => panels.push(panelJson(one, first + index, index, y)));
    y += Math.ceil(row.length / perLine) * height;
  }
  return panels;
}

const variables = [
  {
    name: "datasource",
    label: "Prometheus",
    type: "datasource",
    query: "prometheus",
    current: {},
    hide: 0,
  },
  {
    name: "service",
    label: "Service",
    type: "query",
    datasource,
    query: { query: "label_values(outrigger_policy_revision, service)", refId: "service" },
    definition: "label_values(outrigger_policy_revision, service)",
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: "All", value: "$__all" },
    refresh: 2,
    sort: 1,
    hide: 0,
  },
];

/** The dashboard in the format that Grafana imports. */
export function dashboardJson({ uid, title, description, rows }: Dashboard): object {
  return {
    uid,
    title,
    description,
    tags: ["outrigger"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    timezone: "browser",
    links: [
      {
        type: "dashboards",
        title: "Outrigger",
        tags: ["outrigger"],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
      },
    ],
    annotations: { list: [] },
    templating: { list: variables },
    panels: panelsJson(rows),
  };
}
