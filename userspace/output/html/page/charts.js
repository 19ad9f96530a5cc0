// SPDX-License-Identifier: GPL-2.0-only
// The charts, drawn by Observable Plot from what the tables hold: a cell's data-value is the
// number, its text is how exittop prints it. Colours are those of page.css, so they follow the
// light.
"use strict";

const printedWidth = 700;  // Of a chart on paper, in CSS pixels, ...
const printedBar = 11;     // ... where bars are thinner, so that all reasons are on one page.
const shownBar = 15;
const firstMultiples = 9;  // Distributions in sight; the others are one click away.
const dashes = ["none", "5 3", "1.5 2.5", "8 3 1.5 3", "3 2", "10 2"];

const runs = [...document.querySelectorAll(".runs > li")].map((item, place) => ({
  letter: item.querySelector(".letter").textContent,
  name: item.querySelector(".name").textContent,
  color: `var(--run-${place % dashes.length})`,
  dash: dashes[place % dashes.length],
}));

// Columns of a table that hold a field of a run: [{field, title, run, column}].
function runColumns(table) {
  return [...table.tHead.querySelectorAll("[data-run]")].map((heading) => ({
    field: heading.dataset.field,
    title: heading.dataset.title,
    run: runs[Number(heading.dataset.run)],
    column: Number(heading.dataset.column),
  }));
}

function cellOf(row, column) {
  const cell = row.cells[column];
  return { value: Number(cell.dataset.value ?? 0), text: cell.textContent };
}

const nameOf = (row) => row.cells[0].textContent;

const columns = runColumns(reasonTable);
const reasonRows = [...reasonTable.tBodies[0].rows];

// "10us": only powers of ten and two come here.
function formatNs(ns) {
  for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "us"]]) {
    if (ns >= size) return `${d3.format("~r")(ns / size)}${unit}`;
  }
  return `${d3.format("~r")(ns)}ns`;
}

const formatCount = d3.format("~s");

const nsFields = new Set(["time", "mean", "mean_cpu", "p50", "p99"]);

// Within a range; every second, third, ... of them where there is no room for all of their labels.
function powersOfTen([low, high], room = Infinity) {
  const powers = d3.range(Math.ceil(Math.log10(low)), Math.floor(Math.log10(high)) + 1);
  const step = Math.ceil(powers.length / Math.max(1, room / 40));
  return powers.filter((power) => power % step === 0).map((power) => 10 ** power);
}

// ---- Bars per reason

// The lowest bar still has a length; nothing has none.
function barDomain(values) {
  const positive = values.filter((value) => value > 0);
  if (positive.length === 0) return [0.5, 10];
  const low = 10 ** Math.floor(Math.log10(d3.min(positive)));
  return [d3.min(positive) > low ? low : low / 2, d3.max(positive)];
}

function drawBars(width, barHeight, field) {
  const bars = reasonRows.flatMap((row, place) =>
    columns.filter((column) => column.field === field)
      .map(({ run, column }) => ({ place, run, ...cellOf(row, column) })));
  const domain = barDomain(bars.map((bar) => bar.value));
  const format = nsFields.has(field) ? formatNs : formatCount;
  const fontSize = width < 500 ? 10 : 12;
  const longest = d3.max(reasonRows, (row) => nameOf(row).length);
  const marginRight = 96;  // For the figures at the end of the longest bar.
  const marginLeft = Math.min(0.72 * fontSize * longest + 14, 0.42 * width);
  const end = (bar) => Math.max(bar.value, domain[0]);
  return Plot.plot({
    width,
    height: 28 + reasonRows.length * (runs.length * barHeight + 9),
    marginLeft,
    marginRight,
    marginTop: 24,
    marginBottom: 4,
    x: { type: "log", domain, ticks: powersOfTen(domain, width - marginLeft - marginRight),
         tickFormat: format, axis: "top", label: null },
    y: { domain: runs.map(({ letter }) => letter), axis: null, padding: 0.12, insetTop: 4,
         insetBottom: 5 },
    fy: { domain: d3.range(reasonRows.length), label: null, padding: 0 },
    marks: [
      Plot.gridX({ ticks: powersOfTen(domain), stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisFy({ anchor: "left", label: null, fontSize, textOverflow: "ellipsis-end",
                    lineWidth: (marginLeft - 10) / fontSize,
                    tickFormat: (place) => nameOf(reasonRows[place]) }),
      Plot.barX(bars, { fy: "place", y: (bar) => bar.run.letter, x1: domain[0], x2: end,
                        fill: (bar) => bar.run.color,
                        title: ({ place, run, text }) =>
                          `${nameOf(reasonRows[place])}, ${run.name}: ${text}` }),
      Plot.text(bars, { fy: "place", y: (bar) => bar.run.letter, x: end, dx: 5, fontSize: 11,
                        textAnchor: "start", fill: "var(--text)",
                        text: (bar) => `${bar.run.letter} ${bar.text}` }),
    ],
    color: { type: "identity" },
    ariaLabel: "Bars by reason and run, on a logarithmic scale",
  });
}

// ---- Where the time goes

const timeTable = document.getElementById("time-table");
const splitTable = document.getElementById("split-table");
const mostSplits = 12;  // Reasons whose time has a bar; the table has all.

// A row of a table of times as a bar: its parts one after the other, and their sum as the table
// prints it.
function readBar(row) {
  const run = runs[Number(row.dataset.run)];
  const name = row.querySelector(".name").textContent;
  const headings = [...row.closest("table").tHead.querySelectorAll("[data-part]")];
  let end = 0;
  const parts = headings.map(({ cellIndex, dataset: { part, letter } }) => {
    const { value, text } = cellOf(row, cellIndex);
    end += value;
    return { run, name, part, letter, start: end - value, end, text };
  });
  return { run, name, parts, end, total: row.cells[1].textContent };
}

// What of a part's name and figures fits into its place; narrow ones have nothing.
function partLabel({ part, letter, text }, room, fontSize) {
  const percent = text.split(" ").at(-1);
  return [`${part} ${text}`, `${part} ${percent}`, part, letter]
    .find((label) => (0.62 * label.length + 1) * fontSize < room) ?? "";
}

// The marks of bars of parts; `scale` says how many pixels a part's time takes.
function partMarks(bars, channels, scale, fontSize) {
  const parts = bars.flatMap((bar) => bar.parts).filter(({ start, end }) => end > start);
  const room = (part) => (part.end - part.start) * scale(part) - 2;
  const describe = ({ run, name, part, text }) =>
    `${name === run.name ? "" : `${name}, `}${run.name}: ${part} ${text}`;
  return [
    Plot.barX(parts, { ...channels, x1: "start", x2: "end", insetRight: 1,
                       fill: ({ part }) => `var(--${part})`, title: describe }),
    Plot.text(parts, { ...channels, x: ({ start, end }) => (start + end) / 2,
                       text: (part) => partLabel(part, room(part), fontSize),
                       fill: ({ part }) => `var(--on-${part})`, fontSize, fontWeight: 600,
                       pointerEvents: "none" }),
  ];
}

function drawTimes(width) {
  const bars = [...timeTable.tBodies[0].rows].map(readBar);
  const [marginLeft, marginRight] = [28, 64];
  const longest = d3.max(bars, ({ end }) => end);
  const channels = { y: ({ run }) => run.letter };
  return Plot.plot({
    width,
    height: 32 + runs.length * 34,
    marginLeft,
    marginRight,
    marginTop: 4,
    marginBottom: 28,
    x: { domain: [0, longest], tickFormat: formatNs, ticks: Math.max(2, width / 140), label: null },
    y: { domain: runs.map(({ letter }) => letter), padding: 0.15 },
    color: { type: "identity" },
    marks: [
      Plot.axisY({ label: null, tickSize: 0, fontSize: 13, fontWeight: 700 }),
      ...partMarks(bars, channels, () => (width - marginLeft - marginRight) / longest, 12),
      Plot.text(bars, { ...channels, x: "end", text: "total", textAnchor: "start", dx: 6,
                        fill: "var(--text)", fontSize: 12 }),
    ],
    ariaLabel: "Time of each run, by where it went; the table below has the figures",
  });
}

// Bars of the reasons, each as a fraction of the longest of its reason.
function readSplits() {
  const groups = [...splitTable.tBodies].slice(0, mostSplits);
  return groups.map((body) => {
    const bars = [...body.rows].map(readBar);
    const longest = d3.max(bars, ({ end }) => end) || 1;
    const scaled = ({ start, end, ...rest }) =>
      ({ ...rest, start: (start ?? 0) / longest, end: end / longest });
    return bars.map((bar) => ({ ...scaled(bar), parts: bar.parts.map(scaled) }));
  });
}

function drawSplits(width, barHeight) {
  const groups = readSplits();
  const bars = groups.flatMap((group, place) => group.map((bar) => (
    { ...bar, place, parts: bar.parts.map((part) => ({ ...part, place })) })));
  const fontSize = width < 500 ? 10 : 12;
  const longest = d3.max(bars, ({ name }) => name.length);
  const marginRight = 72;
  const marginLeft = Math.min(0.72 * fontSize * longest + 14, 0.42 * width);
  const channels = { fy: "place", y: ({ run }) => run.letter };
  return Plot.plot({
    width,
    height: 4 + groups.length * (runs.length * barHeight + 9),
    marginLeft,
    marginRight,
    marginTop: 2,
    marginBottom: 2,
    x: { domain: [0, 1], axis: null },
    y: { domain: runs.map(({ letter }) => letter), axis: null, padding: 0.12, insetTop: 4,
         insetBottom: 5 },
    fy: { domain: d3.range(groups.length), label: null, padding: 0 },
    color: { type: "identity" },
    marks: [
      Plot.axisFy({ anchor: "left", label: null, fontSize, textOverflow: "ellipsis-end",
                    lineWidth: (marginLeft - 10) / fontSize,
                    tickFormat: (place) => groups[place][0].name }),
      ...partMarks(bars, channels, () => width - marginLeft - marginRight,
                   Math.min(11, barHeight - 2)),
      Plot.text(bars, { ...channels, x: "end", dx: 5, fontSize: 11, textAnchor: "start",
                        fill: "var(--text)", text: ({ run, total }) => `${run.letter} ${total}` }),
    ],
    ariaLabel: "Time of each reason, by where it went; the table below has the figures",
  });
}

// ---- Distributions

// [[lower, upper, count], ...] by powers of two: [{from, to, share}] without gaps.
function octaves(buckets) {
  const total = d3.sum(buckets, ([, , count]) => count);
  const counts = d3.rollup(buckets, (some) => d3.sum(some, ([, , count]) => count),
                           ([lower]) => Math.floor(Math.log2(Math.max(lower, 1))));
  const [first, last] = d3.extent(counts.keys());
  return d3.range(first, last + 1).map((octave) => ({
    from: 2 ** octave, to: 2 ** (octave + 1), share: (counts.get(octave) ?? 0) / total,
  }));
}

// The outline of steps: up from nothing, along, down to nothing.
function outline(steps) {
  const start = { x: steps[0].from, y: 0 };
  return [start, ...steps.flatMap(({ from, to, share }) =>
    [{ x: from, y: share }, { x: to, y: share }]), { x: steps.at(-1).to, y: 0 }];
}

function readDistributions() {
  return reasonRows.filter((row) => row.dataset.histograms).map((row) => ({
    name: nameOf(row),
    lines: JSON.parse(row.dataset.histograms).map((buckets, place) => ({
      run: runs[place],
      points: buckets.length === 0 ? [] : outline(octaves(buckets)),
      cells: Object.fromEntries(columns.filter(({ run }) => run === runs[place])
        .map(({ field, column }) => [field, cellOf(row, column)])),
    })),
  }));
}

function drawDistribution({ name, lines }, width, domain) {
  const known = lines.filter(({ points }) => points.length > 0);
  const marks = known.flatMap(({ run, points, cells }) => [
    Plot.areaY(points, { x: "x", y1: 0, y2: "y", fill: run.color, fillOpacity: 0.16 }),
    Plot.lineY(points, { x: "x", y: "y", stroke: run.color, strokeWidth: 1.8,
                         strokeDasharray: run.dash, strokeLinejoin: "miter" }),
    Plot.ruleX([cells.p50.value], { stroke: run.color, strokeDasharray: run.dash }),
    Plot.text([run.letter], { x: cells.p50.value, frameAnchor: "top", fill: run.color,
                              stroke: "var(--ground)", strokeWidth: 4, fontWeight: 700,
                              fontSize: 11, dy: 11 * runs.indexOf(run) - 13 }),
  ]);
  return Plot.plot({
    width,
    height: 150,
    marginLeft: 38,
    marginRight: 10,
    marginTop: 20,
    marginBottom: 22,
    x: { type: "log", domain, ticks: powersOfTen(domain, width - 48), tickFormat: formatNs,
         label: null },
    y: { domain: [0, d3.max(known, ({ points }) => d3.max(points, ({ y }) => y))], ticks: 3,
         tickFormat: ".0%", label: null, grid: true },
    color: { type: "identity" },
    marks,
    ariaLabel: `${name}: share of exits by their time`,
  });
}

function figureOf(distribution, width, domain) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const title = document.createElement("b");
  title.textContent = distribution.name;
  caption.append(title);
  for (const { run, cells } of distribution.lines) {
    const line = document.createElement("span");
    line.textContent = cells.count.value === 0
      ? `${run.letter}: no exits`
      : `${run.letter}: ${cells.count.text} exits, p50 ${cells.p50.text}, p99 ${cells.p99.text}`;
    caption.append(line);
  }
  figure.append(caption, drawDistribution(distribution, width, domain));
  return figure;
}

// ---- The page

// An entry of a legend: a bar or line as in the chart, and what it stands for.
function legendItem(text, color, height, dash) {
  const item = document.createElement("li");
  item.append(d3.create("svg").attr("width", 28).attr("height", 12).attr("aria-hidden", true)
    .call((svg) => svg.append("line").attr("x2", 28).attr("y1", 6).attr("y2", 6)
      .attr("stroke", color).attr("stroke-width", height).attr("stroke-dasharray", dash)).node(),
              ` ${text}`);
  return item;
}

function fillLegends() {
  const fill = (section, items) =>
    document.querySelector(`#${section} .legend`).replaceChildren(...items);
  const named = ({ letter, name }) => `${letter}: ${name}`;
  fill("bars", runs.map((run) => legendItem(named(run), run.color, 12, "none")));
  fill("distributions", runs.map((run) => legendItem(named(run), run.color, 2.5, run.dash)));
}

function fillMeasures(select) {
  for (const [field, title] of new Map(columns.map(({ field, title }) => [field, title]))) {
    select.add(new Option(title, field));
  }
}

const measure = document.getElementById("measure");
const distributions = readDistributions();
const times = d3.extent(distributions.flatMap(({ lines }) => lines.flatMap(({ points }) =>
  points.map(({ x }) => x))));

function drawMultiples(container, some, width) {
  container.replaceChildren(...some.map((distribution) => figureOf(distribution, width, times)));
}

function draw(width, barHeight = shownBar) {
  document.getElementById("bars-chart").replaceChildren(drawBars(width, barHeight, measure.value));
  if (timeTable) document.getElementById("time-chart").replaceChildren(drawTimes(width));
  if (splitTable) {
    document.getElementById("split-chart").replaceChildren(drawSplits(width, barHeight + 2));
  }
  const [shown, more] = document.querySelectorAll(".multiples");
  const gap = 28;
  const across = Math.max(1, Math.floor((width + gap) / (300 + gap)));
  const each = (width + gap) / across - gap;
  drawMultiples(shown, distributions.slice(0, firstMultiples), each);
  drawMultiples(more, distributions.slice(firstMultiples), each);
}

function start() {
  fillLegends();
  fillMeasures(measure);
  const rest = distributions.length - firstMultiples;
  document.getElementById("bars").hidden = reasonRows.length === 0;
  for (const part of document.querySelectorAll("#time [hidden]")) part.hidden = false;
  for (const figures of document.querySelectorAll("#split-figures")) figures.open = false;
  document.getElementById("distributions").hidden = distributions.length === 0;
  document.querySelector(".more").hidden = rest <= 0;
  document.querySelector(".more > summary").textContent = `${rest} more`;

  let drawn = 0;
  const main = document.querySelector("main");
  const fit = () => {
    const width = Math.floor(main.clientWidth);
    if (width !== drawn) draw(drawn = width);
  };
  measure.addEventListener("change", () => draw(drawn));
  new ResizeObserver(fit).observe(main);
  addEventListener("beforeprint", () => draw(drawn = printedWidth, printedBar));
  addEventListener("afterprint", fit);
  fit();
}

start();
