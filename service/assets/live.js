// Follows the server's dashboard and hands every message to the painter. It computes no figure.
import { catching, clock, paint, span } from "/paint.js";

const RETRY_MS = [1000, 2000, 5000, 10000];
const TEXT = {
  connecting: "connecting", hydrating: "catching up", live: "live", replaying: "replaying history",
  complete: "history complete", lost: "reconnecting",
};
const byId = (id) => document.getElementById(id);
let source = null;
let failures = 0;
let latest = null;

function state(name) {
  const node = byId("state");
  document.body.classList.toggle("stale", name === "lost");
  if (node.dataset.state === name) return;
  node.dataset.state = name;
  byId("state-text").textContent = TEXT[name] ?? name;
}

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = text === "";
}

function received(message) {
  failures = 0;
  notice("");
  state(message.phase === "closed" ? "lost" : message.phase);
}

// A refusal carries its reason only as an ordinary answer, not as a stream: ask for that once.
async function reason(query) {
  try {
    const answer = await fetch(`/v1/dashboard${query}`);
    if (answer.ok) return;
    const problem = await answer.json();
    notice(`${problem.title}: ${problem.detail}. ${problem.hint}`);
  } catch {
    notice("");
  }
}

function connect() {
  source?.close();
  const query = location.search;
  source = new EventSource(`/v1/dashboard/stream${query}`);
  source.addEventListener("dashboard", (event) => {
    latest = JSON.parse(event.data);
    received(latest);
    picks(latest);
    paint(latest);
  });
  source.addEventListener("clock", (event) => {
    const message = JSON.parse(event.data);
    received(message);
    // Kept, for a page that is painted again later must not show an earlier phase.
    const turned = latest !== null && latest.phase !== message.phase;
    if (latest !== null) latest = { ...latest, hydration: undefined, ...message };
    if (turned) return paint(latest);
    catching(message, latest?.time_zone);
    clock(message, latest?.time_zone);
  });
  source.onerror = () => {
    source.close();
    state("lost");
    if (failures === 0) reason(query);
    setTimeout(connect, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]);
    failures += 1;
  };
}

function options(select, values, chosen) {
  const wanted = JSON.stringify([values, chosen]);
  if (select.dataset.shown === wanted) return;
  select.dataset.shown = wanted;
  select.replaceChildren(...values.map(({ value, label }) => new Option(label, value)));
  select.value = chosen;
}

function picks(message) {
  const several = new Set(message.shops.map((shop) => shop.workspace_id)).size > 1;
  const shops = message.shops.map((shop) => ({
    value: JSON.stringify([shop.workspace_id, shop.shop_id]),
    label: several ? `${shop.workspace_id} / ${shop.shop_id}` : shop.shop_id,
  }));
  byId("shop-pick").hidden = shops.length < 1;
  const { shop, money } = message;
  options(byId("shop"), shops, shop ? JSON.stringify([shop.workspace_id, shop.shop_id]) : "");
  const codes = money ? [money.code, ...money.others].sort() : [];
  byId("currency-pick").hidden = codes.length < 2;
  options(byId("currency"), codes.map((code) => ({ value: code, label: code })), money?.code);
}

function go(params) {
  history.pushState(null, "", `?${new URLSearchParams(params)}`);
  connect();
}

byId("shop").addEventListener("change", (event) => {
  const [workspace_id, shop_id] = JSON.parse(event.target.value);
  go({ workspace_id, shop_id });
});
byId("currency").addEventListener("change", (event) => {
  const { workspace_id, shop_id } = latest.shop;
  go({ workspace_id, shop_id, currency: event.target.value });
});
for (const button of document.querySelectorAll("#products .tabs button")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("#products .tabs button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    span(button.dataset.span);
    if (latest) paint(latest);
  });
}
addEventListener("popstate", connect);
addEventListener("resize", () => latest && paint(latest));
connect();
