// Looks at the dashboard as people do. usage: node look.mjs CHROMIUM PAGE EXCHANGE PID-OF-THE-NODE PID-OF-ALL [FOLDER FOR SCREENSHOTS]
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { chromium } from "playwright-core";

const [browserPath, url, exchange, pid, parent, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
const widths = [360, 820, 1440];

// A page whose errors count.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.said = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && page.said.push(message.text()));
  page.on("pageerror", (error) => page.said.push(error.message));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) page.said.push(`asks elsewhere: ${request.url()}`);
  });
  await page.goto(url);
  return page;
}

async function step(name, run) {
  const began = Date.now();
  try {
    await run();
  } catch (error) {
    console.error(`not so: ${name}`);
    console.error(error);
    process.exit(1);
  }
  console.log(`${String(Date.now() - began).padStart(6)} ms  ${name}`);
}

// The processes below one, each after its parent.
function descendants(pid) {
  const lines = execFileSync("ps", ["-e", "-o", "pid=,ppid=,comm="], { encoding: "utf8" }).trim().split("\n");
  const all = lines.map((line) => line.trim().split(/\s+/)).map(([pid, parent, command]) => ({ pid: Number(pid), parent: Number(parent), command }));
  const below = (parent) => all.filter((one) => one.parent === parent).flatMap((one) => [one, ...below(one.pid)]);
  return below(Number(pid));
}

// What it looks like, if anybody wants to see.
async function pictures(page, name) {
  if (!folder) return;
  for (const colorScheme of ["light", "dark"]) {
    for (const width of widths) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png`, fullPage: true });
    }
  }
}

const sequence = async (page) => Number(await page.locator("#price").getAttribute("data-sequence"));
const until = (page, what, argument) => page.waitForFunction(what, argument, { timeout: 30000 });

await step("without JavaScript the page has the price, the records, the members, the sources and the node", async () => {
  const page = await open({ javaScriptEnabled: false });
  assert.match(await page.locator("#price").innerText(), /^[\d,]+\.\d\d/);
  for (const [region, rows] of [["records", 3], ["members", 4], ["scorecard", 4], ["rounds", 3], ["sources", 5]]) {
    const count = await page.locator(`[data-region=${region}] tbody tr`).count();
    assert.ok(count >= rows, `${region} has ${count} rows`);
  }
  assert.equal(await page.locator(".actors li").count(), 5);
  assert.ok(!(await page.locator("#chart").isVisible()), "no empty chart");
  assert.ok(!(await page.locator("#theme").isVisible()), "no button that does nothing");
  await page.locator("summary").click();
  assert.ok(await page.locator("#points").isVisible(), "the chart's figures are at hand");
  await page.getByRole("link", { name: "24 hours" }).click();
  assert.equal(new URL(page.url()).searchParams.get("period"), "24h");
  assert.equal(await page.locator(".scorecard [aria-current]").innerText(), "24 hours");
  await page.context().close();
});

await step("a record shows within moments: price, chart, title and what is said to screen readers follow the stream", async () => {
  const page = await open();
  await until(page, () => document.querySelector("#link").dataset.state === "live");
  const before = await sequence(page);
  const circles = await page.locator("#plot circle").count();
  assert.ok(circles > 0, "the chart is drawn");
  await until(page, (before) => Number(document.querySelector("#price").dataset.sequence) > before + 1, before);
  assert.match(await page.locator("#announce").innerText(), /^Record \d+: [\d,.]+, \d+ signatures$/);
  const price = await page.locator("#price").innerText();
  assert.ok((await page.title()).startsWith(price.match(/^[\d,]+\.\d\d/)[0]), await page.title());
  assert.deepEqual(page.said, []);
  await page.context().close();
});

await step("the window's clock runs down and opens", async () => {
  const page = await open();
  await until(page, () => /^[12]$/.test(document.querySelector("[data-seconds]").textContent));
  await until(page, () => document.querySelector("#ring").dataset.state === "closed");
  const dash = () => page.locator("#ring .hand").getAttribute("stroke-dasharray");
  const first = await dash();
  await until(page, (first) => document.querySelector("#ring .hand").getAttribute("stroke-dasharray") !== first, first);
  await page.context().close();
});

await step("the theme is the system's until it is chosen, and stays chosen from the first byte on", async () => {
  const page = await open({ colorScheme: "dark" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await page.getByRole("button", { name: "Use the light theme" }).click();
  const light = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  assert.equal(await ground(), light);
  assert.match(await (await page.request.get(url)).text(), /<html lang="en" data-theme="light">/);
  await page.context().close();
});

await step("by keys alone: skip to the price, walk along the chart, open its figures, choose a longer range", async () => {
  const page = await open();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.locator("#plot").focus();
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  assert.match(await page.locator(".tip").innerText(), /#\d+, \d\d:\d\d:\d\d UTC/);
  await page.keyboard.press("Escape");
  assert.ok(!(await page.locator(".tip").isVisible()));
  await page.locator("summary").focus();
  await page.keyboard.press("Enter");
  assert.ok(await page.locator("#points").isVisible());
  const range = page.getByRole("button", { name: "6 h" });
  await range.focus();
  await page.keyboard.press("Enter");
  await until(page, () => document.querySelector("#chart-title").textContent.startsWith("Closing price"));
  assert.equal(await range.getAttribute("aria-pressed"), "true");
  await page.getByRole("button", { name: "Last records" }).click();
  await until(page, () => document.querySelector("#chart-title").textContent.startsWith("Price of the records"));
  // What is open and where the focus is survives the news.
  await page.locator(".records .scroll").focus();
  const before = await sequence(page);
  await until(page, (before) => Number(document.querySelector("#price").dataset.sequence) > before, before);
  assert.ok(await page.locator("#points").isVisible(), "the figures stay open");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "The last records");
  assert.deepEqual(page.said, []);
  await page.context().close();
});

await step("a record's number leads to all that verifies it", async () => {
  const page = await open();
  const link = page.locator(".records tbody a").first();
  const { href, text } = await link.evaluate((link) => ({ href: link.href, text: link.textContent }));
  const { record } = await (await page.request.get(href)).json();
  assert.equal(`#${record.sequence}`, text);
  assert.ok(record.signatures.length >= 3 && record.evidence.length >= 3);
  await page.context().close();
});

await step("no rule of axe-core is broken, at three widths in both themes, and nothing overflows", async () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of widths) {
      const page = await open({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
      await until(page, () => document.querySelector("#plot circle"));
      await page.locator("summary").click();
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${width} px wide it overflows by ${overflow} px`);
      // The chart's figures may be scrolled; whoever looks at members should see all of them.
      const cut = await page.evaluate(() => [...document.querySelectorAll(".scroll:not(:has(#points))")].filter((of) => of.scrollWidth > of.clientWidth).map((of) => `${of.getAttribute("aria-label")}: ${of.scrollWidth} px of ${of.clientWidth}`));
      assert.deepEqual(cut, [], `${width} px wide, tables are cut off`);
      // As a debugger may, whatever the page's policy says.
      const found = await page.evaluate(`(() => { ${axe}; return axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }); })()`);
      assert.ok(found.passes.length > 20, "axe-core looked");
      const broken = found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
      assert.deepEqual(broken, [], `${width} px, ${colorScheme}`);
      await page.locator("summary").click();
      if (folder) await page.screenshot({ path: `${folder}/${width}-${colorScheme}.png`, fullPage: true });
      assert.deepEqual(page.said, []);
      await page.context().close();
    }
  }
});

await step("trouble shows: a source that fails, an actor that was restarted, a node that is gone and comes back", async () => {
  const page = await open();
  await fetch(`${exchange}/control/faults/kraken`, { method: "PUT", body: "status:429" });
  await until(page, () => /rate limited/.test(document.querySelector("[data-region=sources]").textContent));
  await fetch(new URL("/api/v1/actors/Signer/fault/panic", url), { method: "POST" });
  await until(page, () => /Signer.*1 restart,/.test(document.querySelector("[data-region=node]").textContent.replace(/\s+/g, " ")));
  if (folder) await page.screenshot({ path: `${folder}/trouble.png`, fullPage: true });
  await fetch(`${exchange}/control/faults/all`, { method: "DELETE" });
  process.kill(pid, "SIGSTOP");
  try {
    await until(page, () => document.querySelector("#link").dataset.state === "offline");
    assert.match(await page.locator("#verdict").innerText(), /^Stale for \d+ s$/, "a price goes stale though nobody says so");
    if (folder) await page.screenshot({ path: `${folder}/offline.png` });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await until(page, () => document.querySelector("#link").dataset.state === "live");
  await page.context().close();
});

await step("a member that is gone stands first on the scorecard, with the reason", async () => {
  const page = await open();
  const last = page.locator(".scorecard tbody tr").filter({ hasNotText: "this node" }).last();
  const name = await last.locator("b").innerText();
  const number = name.match(/\d+$/)[0];
  const gone = Number(execFileSync("pgrep", ["-f", `node-${number}.toml`, "-P", parent], { encoding: "utf8" }));
  process.kill(gone, "SIGSTOP");
  try {
    await until(page, (name) => document.querySelector(".finding").textContent.startsWith(`${name} is the weakest: missed `), name);
    assert.match(await page.locator(".scorecard tbody tr").first().innerText(), /absent × \d/);
    if (folder) {
      for (const colorScheme of ["light", "dark"]) {
        for (const width of widths) {
          await page.emulateMedia({ colorScheme });
          await page.setViewportSize({ width, height: 900 });
          await page.locator(".scorecard").screenshot({ path: `${folder}/scorecard-${width}-${colorScheme}.png` });
        }
      }
    }
  } finally {
    process.kill(gone, "SIGCONT");
  }
  await page.context().close();
});

await step("of two feeds each has its page, which follows its own records", async () => {
  const page = await open();
  assert.equal(await page.locator("#h-price").innerText(), "ETH/USD");
  await page.getByRole("navigation", { name: "Feeds" }).getByRole("link", { name: "BTC/USD" }).click();
  await page.waitForURL(/feed=BTC/);
  assert.equal(await page.locator("#h-price").innerText(), "BTC/USD");
  assert.match(await page.title(), /^[\d,.]+ BTC\/USD/);
  assert.equal(await page.locator(".feeds [aria-current=page]").innerText(), "BTC/USD");
  const bitcoin = await page.locator("#price .whole").innerText();
  assert.ok(Number(bitcoin.replaceAll(",", "")) > 10000, `a bitcoin for ${bitcoin}`);
  const before = await sequence(page);
  await until(page, (before) => Number(document.querySelector("#price").dataset.sequence) >= before + 2, before);
  assert.ok(Number((await page.locator("#price .whole").innerText()).replaceAll(",", "")) > 10000, "it stays the bitcoin's");
  await pictures(page, "two-feeds");
  assert.deepEqual(page.said, []);
  await page.context().close();
});

await step("while the database is away the page has the last records and says why there are no new ones, then goes on", async () => {
  const page = await open();
  const before = await sequence(page);
  // Whoever stands still answers nobody, and does not even refuse.
  const server = descendants(parent).filter((one) => one.command === "postgres");
  server.forEach((one) => process.kill(one.pid, "SIGSTOP"));
  try {
    await until(page, () => /as they were last read/.test(document.querySelector("[data-region=warnings]").textContent));
    assert.match(await page.locator("[data-region=node]").innerText(), /Database answers\s+\S/);
    assert.ok((await page.locator("[data-region=records] tbody tr").count()) >= 3, "the records are there");
    await pictures(page, "database-away");
    const afresh = await open();
    assert.ok((await sequence(afresh)) >= before, "who comes now sees them too");
    await afresh.context().close();
  } finally {
    server.reverse().forEach((one) => process.kill(one.pid, "SIGCONT"));
  }
  const stood = await sequence(page);
  await until(page, (stood) => Number(document.querySelector("#price").dataset.sequence) > stood, stood);
  await until(page, () => !/as they were last read/.test(document.querySelector("[data-region=warnings]").textContent));
  await page.context().close();
});

await step("the policy lets no script of others in, files are kept for a year, and what is not there is 404", async () => {
  const answer = await fetch(url);
  assert.match(answer.headers.get("content-security-policy"), /default-src 'none'; script-src 'self'/);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  const text = await answer.text();
  assert.doesNotMatch(text, /\sstyle=|<style|<script>|\son\w+=/);
  const script = new URL(text.match(/src="([^"]+app\.js[^"]+)"/)[1], url);
  const first = await fetch(script);
  assert.equal(first.headers.get("cache-control"), "public, max-age=31536000, immutable");
  const again = await fetch(script, { headers: { "if-none-match": first.headers.get("etag") } });
  assert.equal(again.status, 304);
  assert.equal((await fetch(new URL("/dashboard/other.js", url))).status, 404);
  assert.equal((await fetch(new URL("/?feed=DOGE/USD", url))).status, 404);
});

await browser.close();
