// The orders: each a row with its progress, its deliveries in a fold; brought up to date in place.

const STEPS_OF_TIME = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "days"]];

function ageOf(moment) {
  const seconds = Math.max(0, (Date.now() - new Date(moment).getTime()) / 1000);
  if (seconds < 10) return "just now";
  const [, unit, name] = STEPS_OF_TIME.find(([limit]) => seconds < limit);
  const count = Math.floor(seconds / unit);
  return count + " " + (name === "days" && count === 1 ? "day" : name) + " ago";
}

function clockOf(moment) {
  const time = new Date(moment);
  const today = new Date().toDateString() === time.toDateString();
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  return today ? clock : time.toLocaleDateString("sv") + " " + clock;
}

// A bar that a reader can read; apply(share, status word, text) brings it up to date.
function progressOf(label) {
  const fill = make("div");
  const node = make("div", { class: "extenso-bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const apply = (share, status, words) => {
    const percent = Math.round(100 * share);
    node.dataset.status = status;
    fill.style.width = percent + "%";
    node.setAttribute("aria-valuenow", String(percent));
    node.setAttribute("aria-valuetext", words);
  };
  return { node, apply };
}

function render({ model, el }) {
  const { root, set, send } = part(model, el, "board", "Orders");
  own(root);
  const small = (text, act, label) => make("button", { class: "extenso-btn extenso-small", text, "aria-label": label, on: { click: act } });
  const moving = new Map(); // what is brought up to date by `live`, under the identifier of the order or delivery
  let number = 0;

  const fold = (box, label) => {
    box.id = "extenso-fold-" + Math.random().toString(36).slice(2) + "-" + ++number;
    const button = make("button", { class: "extenso-board-fold", "aria-expanded": "false", "aria-controls": box.id, text: label });
    const turn = (open) => {
      box.hidden = !open;
      button.setAttribute("aria-expanded", String(open));
    };
    turn(false);
    return { button, turn, isOpen: () => !box.hidden };
  };

  // --- one delivery
  const delivery = ({ id, product, short }) => {
    const name = make("span", { class: "extenso-cut extenso-board-name", title: product, text: short });
    const bar = progressOf(product);
    const word = make("span", { class: "extenso-board-word" });
    const size = make("span", { class: "extenso-faint" });
    const load = small("Load", () => send("load", { delivery: id }), "Load " + short);
    const here = make("span", { class: "extenso-good" });
    const next = make("div", { class: "extenso-faint" });
    const error = make("div", { class: "extenso-bad" });
    const steps = make("ol", { class: "extenso-board-trail" });
    const trail = fold(steps, "Trail");
    trail.button.setAttribute("aria-label", "Trail of " + short);
    trail.button.addEventListener("click", () => {
      trail.turn(!trail.isOpen());
      send("trail", { delivery: id, open: trail.isOpen() });
    });
    const notes = make("div", { class: "extenso-board-notes" }, next, error);
    const row = make(
      "div",
      { class: "extenso-board-delivery" },
      name,
      bar.node,
      make("span", { class: "extenso-board-state" }, word, " ", size),
      make("span", { class: "extenso-board-acts" }, here, load, trail.button),
      notes,
      steps,
    );
    let item = {};
    const move = (live) => {
      const share = live ? live.share : item.share;
      tell(size, live ? live.text + ", " + Math.round(100 * share) + " %" : item.size);
      bar.apply(share, item.status, item.word + ", " + Math.round(100 * share) + " %");
    };
    const drawTrail = () => {
      const told = model.get("trails")[id];
      if (!trail.isOpen() || !told) return;
      const lines = told.map(([time, source, event], at) => ({ at, text: [clockOf(time), source, event].filter(Boolean).join("  ") }));
      keyed(steps, lines, (line) => line.at, () => {
        const node = make("li");
        return { node, update: (line) => tell(node, line.text) };
      });
    };
    if (model.get("trails")[id]) trail.turn(true); // as before the page was loaded anew
    const update = (now) => {
      item = now;
      row.dataset.status = now.status;
      tell(word, now.word + (now.source && ["transferring", "warming"].includes(now.status) ? " from " + now.source : ""));
      move(model.get("live")[id]);
      load.hidden = !now.ready;
      tell(load, now.loaded ? "Load again" : "Load");
      load.disabled = model.get("loading");
      tell(here, now.name ? "Loaded as " + now.name : now.loaded ? "Loaded" : "");
      tell(next, now.next ? (now.status === "warming" ? "Looked at again " : "Next attempt ") + clockOf(now.next) : "");
      tell(error, now.error ? (now.status === "failed" ? "Failed: " : "Last attempt: ") + now.error : "");
      error.className = now.status === "failed" ? "extenso-bad" : "extenso-warn";
      notes.hidden = !now.next && !now.error;
      trail.button.hidden = now.steps === 0;
      drawTrail();
    };
    moving.set(id, { move, drawTrail, load, node: row });
    return { node: row, update };
  };

  // --- one order
  const order = (given) => {
    const { id, title } = given;
    const body = make("div", { class: "extenso-board-rows" });
    const folded = fold(body, title);
    folded.button.classList.add("extenso-strong");
    folded.button.addEventListener("click", () => folded.turn(!folded.isOpen()));
    folded.turn(given.open || given.retry || model.get("orders")[0].id === id);
    const word = make("span", { class: "extenso-board-word" });
    const bar = progressOf(title);
    const words = make("span");
    const where = make("span");
    const sum = make("span", { class: "extenso-faint extenso-board-sum" }, words, " \u00b7 ", where);
    const cancel = small("Cancel", () => send("cancel", { order: id }), "Cancel " + title);
    const retry = small("Retry", () => send("retry", { order: id }), "Retry what " + title + " did not deliver");
    const remove = small("Delete", () => ask(true), "Delete " + title);
    const yes = small("Yes", () => (ask(false), send("delete", { order: id })), "Yes, delete the products of " + title);
    const no = small("No", () => ask(false), "No, keep the products of " + title);
    const sure = make("span", { class: "extenso-board-sure", hidden: true }, make("span", { class: "extenso-bad", text: "Delete products?" }), yes, no);
    const ask = (on) => {
      sure.hidden = !on;
      remove.hidden = on;
      (on ? no : remove).focus({ preventScroll: true });
    };
    sure.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      ask(false);
      keep(event);
    });
    const head = make(
      "div",
      { class: "extenso-board-head" },
      folded.button,
      word,
      bar.node,
      sum,
      make("span", { class: "extenso-board-acts" }, cancel, retry, remove, sure),
    );
    const node = make("div", { class: "extenso-board-order" }, head, body);
    let item = given;
    const move = (live) => {
      const share = live ? live.share : 0;
      bar.apply(share, item.status, item.word + ", " + Math.round(100 * share) + " %");
      tell(words, item.count + (live ? " \u00b7 " + live.text : ""));
    };
    const update = (now) => {
      item = now;
      node.dataset.status = now.status;
      tell(word, now.word);
      move(model.get("live")[id]);
      tell(where, now.where + " \u00b7 " + ageOf(now.created));
      where.title = now.created;
      cancel.hidden = !now.open;
      retry.hidden = !now.retry;
      if (now.open) sure.hidden = true;
      remove.hidden = now.open || !sure.hidden;
      keyed(body, now.rows, (row) => row.id, delivery);
    };
    moving.set(String(id), { move, node });
    return { node, update };
  };

  // --- all of them
  const name = make("input", { class: "extenso-input extenso-board-variable", type: "text", spellcheck: "false", autocomplete: "off" });
  const wrong = make("span", { class: "extenso-bad", role: "status" });
  name.addEventListener("input", () => set({ variable: name.value }));
  const as = make("label", { class: "extenso-row" }, make("span", { class: "extenso-label", text: "Load as" }), name);
  const none = make("span", { class: "extenso-faint", text: "Orders: none yet." });
  const title = make("span", { class: "extenso-strong", text: "Orders" });
  const top = make("div", { class: "extenso-row" }, title, make("span", { class: "extenso-grow" }), wrong, as);
  const list = make("div", { class: "extenso-board-list" });
  const note = make("div", { class: "extenso-faint", role: "status" });
  root.append(none, top, list, note);

  const draw = () => {
    const orders = model.get("orders");
    keyed(list, orders, (item) => item.id, order);
    for (const [key, { node }] of moving) if (!list.contains(node)) moving.delete(key);
    none.hidden = orders.length > 0;
    top.hidden = list.hidden = orders.length === 0;
  };
  const drawLive = () => {
    for (const [key, live] of Object.entries(model.get("live"))) moving.get(key)?.move(live);
  };
  const drawTrails = () => {
    for (const key of Object.keys(model.get("trails"))) moving.get(key)?.drawTrail?.();
  };
  const drawName = () => {
    if (name.value !== model.get("variable")) name.value = model.get("variable");
    const words = model.get("variable_wrong");
    name.setAttribute("aria-invalid", String(Boolean(words)));
    tell(wrong, words);
  };
  const drawNote = () => {
    tell(note, model.get("note"));
    note.hidden = !model.get("note");
  };
  const drawLoading = () => {
    for (const { load } of moving.values()) if (load) load.disabled = model.get("loading");
  };
  const stops = [
    watch(model, ["orders"], draw),
    watch(model, ["live"], drawLive),
    watch(model, ["trails"], drawTrails),
    watch(model, ["variable", "variable_wrong"], drawName),
    watch(model, ["loading"], drawLoading),
    watch(model, ["note"], drawNote),
  ];
  return () => stops.forEach((stop) => stop());
}

export default { render };
