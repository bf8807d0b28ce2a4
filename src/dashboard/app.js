// The dashboard comes whole from the node; this keeps it fresh. When a record comes, and every few seconds, the page is asked for again
// and its parts are put in place that have changed. Without JavaScript it is the same page, as of its loading.

const root = document.documentElement;
const $ = (selector, from = document) => from.querySelector(selector);
const number = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });

// The node's clock, by which all times are told, whatever this machine's says.
let skew = Number(document.body.dataset.now) - Date.now();
const now = () => Date.now() + skew;

/* The look: the system's, or the reader's choice, kept in a cookie so that the node sends it right away. */

const theme = $("#theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

function showTheme() {
  $("[data-text]", theme).textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", isDark() ? "Use the light theme" : "Use the dark theme");
}

theme.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  document.cookie = `quorate-theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
  showTheme();
});
prefersDark.addEventListener("change", showTheme);
theme.hidden = false;
showTheme();

/* What goes on by itself: the window's clock, and how long ago things were. */

function duration(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const ago = (ms) => (ms < 1000 ? "now" : `${duration(ms)} ago`);

function setText(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

function tick() {
  for (const time of document.querySelectorAll("[data-ago]")) setText(time, ago(now() - Number(time.dataset.ago)));
  // A price goes stale whether the node answers or not.
  const verdict = $("#verdict");
  const over = verdict ? now() - Number(verdict.dataset.stale) : 0;
  if (over > 0) {
    verdict.className = "verdict bad";
    setText(verdict, `Stale for ${duration(over)}`);
  }
  const ring = $("#ring");
  if (!ring?.dataset.opens) return;
  const left = Number(ring.dataset.opens) - now();
  const isOpen = left <= 0;
  ring.dataset.state = isOpen ? "open" : "closed";
  setText($("[data-seconds]", ring), isOpen ? "open" : String(Math.ceil(left / 1000)));
  setText($("[data-unit]", ring), isOpen ? "" : "s");
  setText($("[data-caption]"), isOpen ? "the next record may be written" : "until the next write window");
  const share = Math.max(0, Math.min(100, (left * 100) / Number(ring.dataset.interval)));
  $(".hand", ring).setAttribute("stroke-dasharray", `${share.toFixed(2)} 100`);
}

setInterval(tick, 250);

/* The chart, drawn from the table behind it. */

const plot = $("#plot");
const svg = (name, attributes = {}, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
let chart = null;
let chosen = null;
// Candles of a longer range, if that was asked for, in place of the records.
let candles = null;

function points() {
  if (candles) return candles;
  const rows = [...document.querySelectorAll("#points tbody tr")].reverse();
  return rows.map((row) => ({
    t: Number(row.dataset.t),
    price: Number(row.dataset.p),
    low: Number(row.dataset.l),
    high: Number(row.dataset.h),
    cells: [...row.cells].map((cell) => cell.textContent),
  }));
}

// A round step that cuts a span into about `parts`.
function step(span, parts) {
  const raw = span / parts;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
}

function timeStep(span, parts) {
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
  return 1000 * (seconds.find((size) => size * 1000 >= span / parts) ?? 86400);
}

function draw() {
  const all = points();
  if (all.length < 2) {
    // A longer range with one candle has nothing to draw; the records may.
    if (candles) plot.replaceChildren(Object.assign(document.createElement("p"), { className: "quiet", textContent: "Too few records in this range yet." }));
    else $("#chart").hidden = true;
    chart = null;
    return;
  }
  $("#chart").hidden = false;
  const { width, height } = plot.getBoundingClientRect();
  if (!width) return;
  const isNarrow = width < 520;
  const edge = { top: 10, right: isNarrow ? 66 : 78, bottom: 24, left: 6 };
  const [first, last] = [all[0], all.at(-1)];
  let low = Math.min(...all.map((point) => point.low));
  let high = Math.max(...all.map((point) => point.high));
  const margin = (high - low || high * 0.0002) * 0.08;
  [low, high] = [low - margin, high + margin];
  const x = (t) => edge.left + ((t - first.t) / (last.t - first.t)) * (width - edge.left - edge.right);
  const y = (price) => edge.top + ((high - price) / (high - low)) * (height - edge.top - edge.bottom);
  const at = (t, price) => `${x(t).toFixed(1)} ${y(price).toFixed(1)}`;

  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const priceStep = step(high - low, isNarrow ? 4 : 5);
  for (let price = Math.ceil(low / priceStep) * priceStep; price < high; price += priceStep) {
    picture.append(
      svg("line", { class: "grid", x1: edge.left, x2: width - edge.right + 8, y1: y(price), y2: y(price) }),
      svg("text", { x: width, y: y(price) + 4, "text-anchor": "end" }, number.format(price)),
    );
  }
  const stepOfTime = timeStep(last.t - first.t, Math.max(2, Math.floor(width / 170)));
  for (let t = Math.ceil(first.t / stepOfTime) * stepOfTime; t <= last.t; t += stepOfTime) {
    const [day, time] = new Date(t).toISOString().split("T");
    const text = stepOfTime >= 86400000 ? day.slice(5) : time.slice(0, stepOfTime < 60000 ? 8 : 5);
    if (x(t) > 26 && x(t) < width - edge.right - 4) {
      picture.append(svg("text", { x: x(t), y: height - 4, "text-anchor": "middle" }, text));
    }
  }
  const upper = all.map((point) => at(point.t, point.high));
  const lower = all.map((point) => at(point.t, point.low)).reverse();
  picture.append(
    svg("path", { class: "area", d: `M${[...upper, ...lower].join("L")}Z` }),
    svg("path", { class: "course", d: `M${all.map((point) => at(point.t, point.price)).join("L")}` }),
  );
  if (width / all.length > 14) {
    for (const point of all.slice(0, -1)) {
      picture.append(svg("circle", { class: "record", cx: x(point.t), cy: y(point.price), r: 2.75 }));
    }
  }
  picture.append(
    svg("circle", { class: "halo", cx: x(last.t), cy: y(last.price), r: 10 }),
    svg("circle", { class: "newest", cx: x(last.t), cy: y(last.price), r: 5 }),
  );
  const cross = svg("g", { class: "chosen" });
  picture.append(cross);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  plot.replaceChildren(picture, tip);
  plot.setAttribute(
    "aria-label",
    `${candles ? `Price in ${all.length} steps` : `Price of the last ${all.length} records`}: from ${first.cells[2]} at ${first.cells[1]} UTC to ${last.cells[2]} at ${last.cells[1]}, ` +
      `lowest quote ${number.format(Math.min(...all.map((point) => point.low)))}, ` +
      `highest ${number.format(Math.max(...all.map((point) => point.high)))}. Left and right arrows go from point to point.`,
  );
  chart = { all, x, y, width, height, edge, cross, tip };
  if (chosen !== null) choose(Math.min(chosen, all.length - 1), false);
}

function choose(index, isSaid) {
  chosen = index;
  if (!chart) return;
  const { all, x, y, width, height, edge, cross, tip } = chart;
  const point = all[index];
  const [record, time, price, low, high, signatures] = point.cells;
  cross.replaceChildren(
    svg("line", { class: "cross", x1: x(point.t), x2: x(point.t), y1: edge.top, y2: height - edge.bottom }),
    svg("circle", { class: "at", cx: x(point.t), cy: y(point.price), r: 5 }),
  );
  const head = document.createElement("b");
  head.textContent = price;
  tip.replaceChildren(head, `${record}, ${time} UTC`, document.createElement("br"), `${candles ? "from" : "sources"} ${low} to ${high}`);
  tip.hidden = false;
  const room = tip.offsetWidth;
  const left = x(point.t) + 14 + room > width ? x(point.t) - room - 14 : x(point.t) + 14;
  tip.style.left = `${Math.max(0, left)}px`;
  if (isSaid) say(`${record}, ${time}: ${price}, sources from ${low} to ${high}, ${signatures} signatures`);
}

function leave() {
  chosen = null;
  if (!chart) return;
  chart.cross.replaceChildren();
  chart.tip.hidden = true;
}

plot.addEventListener("pointermove", (event) => {
  if (!chart) return;
  const where = event.clientX - plot.getBoundingClientRect().left;
  const distances = chart.all.map((point) => Math.abs(chart.x(point.t) - where));
  choose(distances.indexOf(Math.min(...distances)), false);
});
plot.addEventListener("pointerleave", leave);
plot.addEventListener("blur", leave);
plot.addEventListener("keydown", (event) => {
  if (!chart) return;
  const end = chart.all.length - 1;
  const from = chosen ?? end;
  const next = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: end }[event.key];
  if (event.key === "Escape") leave();
  if (next === undefined) return;
  event.preventDefault();
  choose(chosen === null ? end : Math.max(0, Math.min(end, next)), true);
});
/* A longer range comes as candles, which the database makes of the records. */

const ranges = $("#ranges");
let range = null;

async function showRange() {
  if (range) {
    const parameters = new URLSearchParams({ feed: document.body.dataset.feed, from: range.from, step: range.step });
    try {
      const answer = await fetch(`/api/v1/candles?${parameters}`, { signal: AbortSignal.timeout(10000) });
      if (!answer.ok) return;
      const { candles: found, step_ms: step } = await answer.json();
      candles = found.map((candle) => {
        const opens = Date.parse(candle.opens_at);
        const time = candle.opens_at.slice(5, 16).replace("T", " ");
        const [price, low, high] = [candle.close, candle.low, candle.high].map(Number);
        const cells = ["the end of", time, ...[price, low, high].map((value) => number.format(value)), String(candle.records)];
        return { t: opens + step / 2, price, low, high, cells };
      });
    } catch {
      return; // What was drawn stays.
    }
  } else {
    candles = null;
  }
  setText($("#chart-title"), range ? "Closing price, and the band from the lowest to the highest record" : "Price of the records, and the band of their sources’ quotes");
  setText($("#band"), range ? "lowest to highest" : "sources");
  leave();
  draw();
}

ranges.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  for (const other of ranges.children) other.setAttribute("aria-pressed", String(other === button));
  range = button.dataset.from ? { ...button.dataset } : null;
  showRange();
});
new ResizeObserver(draw).observe(plot.parentElement.parentElement);

/* News */

const link = $("#link");
const announcer = $("#announce");
let isStreaming = false;
let failures = 0;

function say(text) {
  announcer.textContent = text;
}

function showLink(state, text) {
  link.dataset.state = state;
  setText($("[data-text]", link), text);
}

// Puts in place what differs, and leaves alone what the reader has open or under the cursor.
function take(page) {
  skew = Number(page.body.dataset.now) - Date.now();
  const before = $("#price");
  const [was, is] = [before, $("#price", page)].map((price) => ({
    sequence: price?.dataset.sequence,
    value: Number(price?.textContent.replace(/[^0-9.]/g, "")),
    said: price?.dataset.said,
  }));
  for (const fresh of page.querySelectorAll("[data-region]")) {
    const stale = $(`[data-region="${fresh.dataset.region}"]`);
    if (!stale || stale.innerHTML === fresh.innerHTML) continue;
    const scrolled = [...stale.querySelectorAll(".scroll")].map((part) => [part.scrollLeft, part.scrollTop]);
    const focused = [...stale.querySelectorAll("a, button, summary, [tabindex]")].indexOf(document.activeElement);
    stale.replaceChildren(...fresh.childNodes);
    stale.className = fresh.className;
    [...stale.querySelectorAll(".scroll")].forEach((part, index) => {
      [part.scrollLeft, part.scrollTop] = scrolled[index] ?? [0, 0];
    });
    if (focused >= 0) stale.querySelectorAll("a, button, summary, [tabindex]")[focused]?.focus({ preventScroll: true });
  }
  document.title = page.title;
  if (is.sequence && is.sequence !== was.sequence) {
    if (is.value !== was.value && was.value) $("#price").classList.add(is.value > was.value ? "raised" : "lowered");
    if (is.said) say(is.said);
    if (range) showRange();
    else draw();
  }
  tick();
}

let isAsking = false;
let isWanted = false;

async function refresh() {
  if (isAsking) {
    isWanted = true;
    return;
  }
  isAsking = true;
  try {
    const answer = await fetch(location.pathname + location.search, { signal: AbortSignal.timeout(5000), cache: "no-store" });
    if (!answer.ok) throw new Error(`HTTP status ${answer.status}`);
    take(new DOMParser().parseFromString(await answer.text(), "text/html"));
    failures = 0;
    showLink(isStreaming ? "live" : "polling", isStreaming ? "Live" : "Polling");
  } catch {
    failures += 1;
    if (failures > 1) showLink("offline", "No answer");
  }
  isAsking = false;
  if (isWanted) {
    isWanted = false;
    refresh();
  }
}

// The stream tells of records at once; the rest changes slowly. Without a stream all is asked for more often, and after a failure
// sooner at first: a node that hangs is to be seen within 17 s.
function keepAsking() {
  const usual = isStreaming ? 5000 : 2500;
  const wait = document.hidden ? 60000 : failures ? Math.min(1000 * 2 ** failures, 20000) : usual;
  setTimeout(async () => {
    if (!document.hidden) await refresh();
    keepAsking();
  }, wait);
}

function listen() {
  const stream = new EventSource(document.body.dataset.stream);
  stream.addEventListener("open", () => {
    isStreaming = true;
    refresh();
  });
  for (const kind of ["message", "record"]) stream.addEventListener(kind, refresh);
  stream.addEventListener("error", () => {
    isStreaming = false;
    // The browser comes back to a stream that broke by itself, but not to one that was never there.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 30000);
    refresh();
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
draw();
tick();
showLink("polling", "Polling");
if (document.body.dataset.stream) listen();
keepAsking();
