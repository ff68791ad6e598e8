// Paints a dashboard message into the page. Figures arrive as text and are only formatted; heights
// and shares arrive in thousandths. All text goes through textContent.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const LOCALE = navigator.language || "en";
const CARDS = [
  ["orders", "Orders", 1], ["aov", "Average order", 1], ["units", "Units sold", 1],
  ["gross_sales", "Gross sales", 1], ["discounts", "Discounts", -1], ["returns", "Returns", -1],
  ["new_customers", "New customers", 1], ["returning_customers", "Returning customers", 1],
];
let products = "products_week";

/** Which list of products is shown. */
export function span(name) {
  products = name;
}

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function draw(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Replaces text, with a soft flash if there was another before. */
function put(node, text, key) {
  const before = node.dataset.shown;
  const same = node.dataset.key === key;
  if (before === text && same) return;
  node.textContent = text;
  node.dataset.shown = text;
  node.dataset.key = key;
  if (before === undefined || !same || !("flash" in node.dataset)) return;
  node.classList.remove("flash");
  void node.offsetWidth;
  node.classList.add("flash");
}

function formats(message) {
  const { code, decimals } = message.money ?? { code: "USD", decimals: 2 };
  const fixed = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  const money = new Intl.NumberFormat(LOCALE, { style: "currency", currency: code, ...fixed });
  const count = new Intl.NumberFormat(LOCALE);
  const compact = new Intl.NumberFormat(LOCALE, { notation: "compact" });
  const timeZone = message.time_zone;
  const day = (style) => new Intl.DateTimeFormat(LOCALE, { timeZone: "UTC", ...style });
  const time = (style) => new Intl.DateTimeFormat(LOCALE, { timeZone, ...style });
  const long = day({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
  const short = day({ day: "numeric", month: "short" });
  const hour = time({ weekday: "short", hour: "2-digit", minute: "2-digit" });
  const tick = time({ hour: "2-digit", minute: "2-digit" });
  const date = (text) => new Date(text);
  return {
    money: (text) => money.format(text),
    count: (text) => count.format(text),
    compact: (text) => compact.format(text),
    long: (text) => long.format(date(text)),
    short: (text) => short.format(date(text)),
    hour: (text) => hour.format(date(text)),
    tick: (text) => tick.format(date(text)),
  };
}

function comparison(label, past, meaning, show) {
  const sign = past.direction * meaning;
  const arrow = past.direction > 0 ? "▲" : past.direction < 0 ? "▼" : "●";
  const said = past.direction > 0 ? "up" : past.direction < 0 ? "down" : "unchanged";
  const change = past.change === null ? "" : `${past.change.replace("-", "")} %`;
  const kind = sign > 0 ? "change good" : sign < 0 ? "change bad" : "change";
  const badge = make("span", { class: kind, role: "img", "aria-label": `${said} ${change}` });
  badge.append(`${arrow} ${change}`.trim());
  return make("p", {}, make("span", { class: "to" }, label), badge,
    make("span", { class: "was" }, past.value === null ? "–" : show(past.value)));
}

function versus(card, meaning, show, [day, week]) {
  return [comparison(day, card.day_before, meaning, show),
    comparison(week, card.week_before, meaning, show)];
}

function cards(message, show) {
  const grid = byId("cards");
  const { shop, money, today } = message;
  const key = JSON.stringify([shop.workspace_id, shop.shop_id, money.code, today.day]);
  for (const [name, label, meaning] of CARDS) {
    let card = grid.querySelector(`[data-card="${name}"]`);
    if (!card) {
      card = make("article", { class: "card", "data-card": name }, make("h2", {}, label),
        make("p", { class: "value", "data-flash": "" }), make("div", { class: "versus" }));
      grid.append(card);
    }
    const figure = message.cards[name];
    const format = figure.money ? show.money : show.count;
    put(card.querySelector(".value"), figure.value === null ? "–" : format(figure.value), key);
    const past = versus(figure, meaning, format, ["day", "week"]);
    card.querySelector(".versus").replaceChildren(...past);
  }
  const net = message.cards.net_sales;
  put(byId("net"), show.money(net.value), key);
  byId("net-versus").replaceChildren(...versus(net, 1, show.money,
    ["the whole day before", "the same weekday last week"]));
}

function labels(points, write, most) {
  const every = Math.max(1, Math.ceil(points.length / most));
  return points.map((point, at) => ((points.length - 1 - at) % every === 0 ? write(point.at) : ""));
}

function chart(id, data, show, words) {
  const panel = byId(id);
  const plot = panel.querySelector(".plot");
  const [width, height] = [plot.clientWidth || 600, plot.clientHeight || 240];
  const box = { left: 46, right: 6, top: 8, bottom: 24 };
  const y = (at) => height - box.bottom - (at / 1000) * (height - box.top - box.bottom);
  const step = (width - box.left - box.right) / Math.max(1, data.points.length);
  const named = `${words.title}. Use the arrow keys to read single bars.`;
  const view = { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: "0" };
  const svg = draw("svg", { ...view, "aria-label": named });
  const across = { x1: box.left, x2: width - box.right };
  const inner = { y: box.top, height: height - box.top - box.bottom };
  for (const tick of data.ticks) {
    const at = y(tick.height);
    const text = { x: box.left - 8, y: at + 4, "text-anchor": "end" };
    svg.append(draw("line", { class: "grid", ...across, y1: at, y2: at }));
    svg.append(draw("text", text, show.compact(tick.value)));
  }
  const names = labels(data.points, words.tick, Math.max(3, Math.floor(width / 100)));
  const zero = y(data.zero);
  const groups = data.points.map((point, at) => {
    const x = box.left + at * step;
    const group = draw("g", {});
    const [top, size] = [Math.min(zero, y(point.height)), Math.abs(zero - y(point.height))];
    const tall = size > 0 ? Math.max(size, 1.5) : 0;
    const last = at === data.points.length - 1;
    const kind = point.height < data.zero ? "fill below" : last ? "fill last" : "fill";
    const wide = Math.min(Math.max(1, step * 0.74), 34);
    group.append(draw("rect", { class: "slot", x, width: step, ...inner }));
    group.append(draw("rect", { class: kind, x: x + (step - wide) / 2, y: top, width: wide,
      height: tall, rx: Math.min(4, step / 5, tall / 2) }));
    if (names[at]) {
      const anchor = last && step < 40 ? "end" : "middle";
      const place = anchor === "end" ? x + step : x + step / 2;
      svg.append(draw("text", { x: place, y: height - 6, "text-anchor": anchor }, names[at]));
    }
    svg.append(group);
    return group;
  });
  svg.append(draw("line", { class: "axis", ...across, y1: zero, y2: zero }));
  reading(panel, svg, groups, data.points, show, words, { left: box.left, step });
  const focused = plot.contains(document.activeElement);
  plot.replaceChildren(svg);
  if (focused) svg.focus();
}

/** Shows the exact figures of the bar under the pointer or chosen by keys; else of the last one. */
function reading(panel, svg, groups, points, show, words, { left, step }) {
  const line = panel.querySelector(".reading");
  const tell = (at, chosen) => {
    groups.forEach((group, place) => group.classList.toggle("on", chosen && place === at));
    panel.dataset.at = chosen ? points[at].at : "";
    const point = points[at];
    if (!point) return line.replaceChildren();
    const orders = `${show.count(point.orders)} ${point.orders === 1 ? "order" : "orders"}`;
    const value = make("b", {}, show.money(point.value));
    line.replaceChildren(`${words.long(point.at)} · `, value, ` · ${orders}`);
    line.setAttribute("aria-live", chosen ? "polite" : "off");
  };
  const last = points.length - 1;
  const found = points.findIndex((point) => point.at === panel.dataset.at);
  tell(found < 0 ? last : found, found >= 0);
  svg.addEventListener("pointermove", (event) => {
    const from = svg.getBoundingClientRect().left;
    const at = Math.floor((event.clientX - from - left) / step);
    if (at >= 0 && at <= last) tell(at, true);
  });
  svg.addEventListener("pointerleave", () => tell(last, false));
  svg.addEventListener("blur", () => svg.isConnected && tell(last, false));
  svg.addEventListener("keydown", (event) => {
    const now = points.findIndex((point) => point.at === panel.dataset.at);
    const from = now < 0 ? last + 1 : now;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    tell(Math.min(last, Math.max(0, to)), true);
  });
}

function list(message, show) {
  const panel = byId("products");
  const rows = message[products].map((product) => {
    const bar = draw("svg", { class: "share", viewBox: "0 0 1000 5", "aria-hidden": "true" });
    bar.setAttribute("preserveAspectRatio", "none");
    bar.append(draw("rect", { width: product.share, height: 5, rx: 2 }));
    const name = make("td", {}, make("span", { class: "name" }, product.product_id), bar);
    const units = make("td", { class: "n" }, show.count(product.units));
    if (product.units_returned > 0) {
      units.append(make("br"), make("small", {}, `${show.count(product.units_returned)} returned`));
    }
    return make("tr", {}, name, units, make("td", { class: "n" }, show.money(product.net_sales)));
  });
  panel.querySelector("tbody").replaceChildren(...rows);
  panel.querySelector("table").hidden = rows.length === 0;
  panel.querySelector(".none").hidden = rows.length > 0;
}

function faults({ count, kinds, examples }, number) {
  const panel = byId("faults");
  byId("fault-count").textContent = count === 0 ? "none" : `${number(count)} not counted`;
  panel.querySelector(".kinds").replaceChildren(...kinds.map((kind) =>
    make("li", {}, `${kind.kind.replaceAll("_", " ")} · ${number(kind.count)}`)));
  panel.querySelector(".examples").replaceChildren(...examples.map((fault) => {
    const place = fault.subject ? `${fault.place} · ${fault.subject}` : fault.place;
    return make("li", {}, make("div", { class: "place" }, place),
      make("div", {}, fault.reason), make("div", { class: "remedy" }, fault.remedy));
  }));
  panel.querySelector(".none").hidden = count > 0;
}

function instant(text, timeZone) {
  const style = { dateStyle: "medium", timeStyle: "medium", timeZone };
  return `${new Intl.DateTimeFormat(LOCALE, style).format(new Date(text))} ${timeZone}`;
}

/** Paints the epoch and the shop's clock. */
export function clock(message, timeZone = "UTC") {
  byId("epoch").textContent = new Intl.NumberFormat(LOCALE).format(message.epoch);
  // Before the first epoch there is no clock.
  byId("as-of").textContent = message.epoch === 0 ? "–" : instant(message.as_of, timeZone);
}

/** Says, while the server hydrates, how old the figures are and how far it is. */
export function catching({ phase, epoch, as_of: asOf, hydration }, timeZone = "UTC") {
  byId("catching").hidden = phase !== "hydrating";
  if (phase !== "hydrating") return;
  const number = new Intl.NumberFormat(LOCALE).format(epoch);
  const figures = epoch === 0 ? "there are no figures yet"
    : `figures are as of epoch ${number}, ${instant(asOf, timeZone)}`;
  // Said once: the percent stands outside the status, so that a screen reader is not interrupted.
  const text = `Catching up after a restart: ${figures}${hydration ? ";" : "."}`;
  if (byId("catching-text").textContent !== text) byId("catching-text").textContent = text;
  byId("catching-far").textContent = hydration ? `hydrating ${hydration.percent} %` : "";
  byId("catching-bar").hidden = !hydration;
  if (hydration) byId("catching-bar").value = hydration.percent;
}

/** Paints everything. */
export function paint(message) {
  const show = formats(message);
  clock(message, message.time_zone);
  catching(message, message.time_zone);
  byId("main").setAttribute("aria-busy", "false");
  const filled = message.cards !== null || message.faults.count > 0;
  byId("filled").hidden = !filled;
  // What is not there yet may still come: only a server that has caught up knows of no orders.
  byId("empty").hidden = filled || message.phase === "hydrating";
  faults(message.faults, show.count);
  const sold = message.cards !== null;
  for (const part of document.querySelectorAll(".top, .charts, #products")) part.hidden = !sold;
  if (!sold) return;
  const { today, total } = message;
  byId("day-tag").textContent = today.current ? "Today" : "Latest day with sales";
  byId("day").textContent = show.long(today.day);
  const since = `${show.short(total.first_day)} ${total.first_day.slice(0, 4)}`;
  byId("total").textContent = `${show.money(total.net_sales)} from ${show.count(total.orders)} `
    + `orders since ${since}`;
  cards(message, show);
  const days = { title: "Net sales by day", tick: show.short, long: show.long };
  const hours = { title: "Revenue by hour", tick: show.tick, long: show.hour };
  chart("days", message.days, show, days);
  chart("hours", message.hours, show, hours);
  list(message, show);
  const net = show.money(message.cards.net_sales.value);
  document.title = `${net} · ${message.shop.shop_id} · IONFLUX`;
}
