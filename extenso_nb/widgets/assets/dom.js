// What every part uses: making elements, talking to the kernel, and saying when it is dead. Put before each part's own code.

const APART = new Set(["class", "text", "data", "on"]);

// make("button", {class: "extenso-btn", text: "Search", "aria-label": "...", data: {key: "a"}, on: {click: act}}, ...children)
// Text is always set as text, never as markup.
function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  if (tag === "button") node.type = "button";
  if (options.class) node.className = options.class;
  if (options.text !== undefined && options.text !== null) node.textContent = options.text;
  for (const [key, value] of Object.entries(options.data || {})) node.dataset[key] = value;
  for (const [name, act] of Object.entries(options.on || {})) node.addEventListener(name, act);
  for (const [name, value] of Object.entries(options)) {
    if (APART.has(name) || value === undefined || value === null || value === false) continue;
    if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// The root of a part, with the line that says that the kernel is dead; `set` and `send` are the ways to the kernel.
// A dead kernel leaves a widget that looks alive. The front end tells the model, by an event; `model.send` throws, but
// `save_changes` fails out of sight, after it has returned.
function part(model, el, name, label) {
  const root = make("section", { class: "extenso extenso-" + name, "aria-label": label });
  const dead = make("div", {
    class: "extenso-dead",
    role: "alert",
    hidden: true,
    text: "The kernel does not answer any more. Run the cell again; orders go on without it.",
  });
  root.append(dead);
  el.append(root);
  // JupyterLab and Notebook look for their shortcuts before an element hears of a key: arrows, letters. They leave alone an
  // element with this mark, which is there for plain keys only: Ctrl+S still saves the notebook.
  const plain = (event) => {
    if (!root.isConnected) window.removeEventListener("keydown", plain, true);
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !(event.ctrlKey || event.metaKey || event.altKey));
  };
  root.addEventListener("focusin", () => window.addEventListener("keydown", plain, true));
  root.addEventListener("focusout", () => window.removeEventListener("keydown", plain, true));
  let gone = false;
  model.on("comm_live_update", () => {
    gone = true;
    dead.hidden = false;
  });
  const attempt = (act) => {
    if (gone) return;
    try {
      act();
      dead.hidden = true;
    } catch (error) {
      dead.hidden = false;
    }
  };
  const set = (values) =>
    attempt(() => {
      for (const [key, value] of Object.entries(values)) model.set(key, value);
      model.save_changes();
    });
  const send = (kind, content = {}, buffers = undefined) => attempt(() => model.send({ kind, ...content }, undefined, buffers));
  return { root, set, send };
}

// Draws now and whenever one of the traits changes; returns what ends it.
function watch(model, names, draw) {
  const events = names.map((name) => "change:" + name);
  for (const event of events) model.on(event, draw);
  draw();
  return () => events.forEach((event) => model.off(event, draw));
}

// Replaces what is in a box and gives the keyboard back to the element with the same data-key, or a redraw would take it.
function redraw(box, children) {
  const active = box.getRootNode().activeElement;
  const key = active && box.contains(active) ? active.dataset.key : undefined;
  box.replaceChildren(...children);
  if (key === undefined) return;
  const again = [...box.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key);
  if (again) again.focus({ preventScroll: true });
}

// Arrows, Home and End move among the buttons of a group, of which one is in the order of Tab (ARIA practices, roving tabindex).
function roving(group, pick) {
  group.addEventListener("keydown", (event) => {
    const buttons = [...group.querySelectorAll("button:not(:disabled)")];
    const at = buttons.indexOf(group.getRootNode().activeElement);
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 };
    if (at < 0 || !(event.key in steps)) return;
    const next = buttons[(steps[event.key] + buttons.length) % buttons.length];
    next.focus();
    pick(next);
    keep(event);
  });
}

// Jupyter has meanings of its own for keys such as Enter, arrows and letters.
function keep(event) {
  event.preventDefault();
  event.stopPropagation();
}

// Typing must not run the notebook's shortcuts, on a button or a handle no more than in a field: x cuts the cell there.
function own(root) {
  root.addEventListener("keydown", (event) => {
    const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (plain || event.target.matches("input, select, textarea")) event.stopPropagation();
  });
}

// The Leaflet map of the map widget named by the trait `target`: of its views the one in the same box as this part, for a
// cell's output may be shown twice. Waits until it is there; null when this part has gone before.
async function leaflet(model, el, alive) {
  const target = await model.widget_manager.get_model(model.get("target").replace("IPY_MODEL_", ""));
  while (alive()) {
    const box = el.closest(".extenso-area-picker, .extenso-map");
    const views = await Promise.all(Object.values(target.views || {}));
    const view = views.find((one) => one.obj && one.obj.getContainer && box && box.contains(one.obj.getContainer()));
    if (view) return view.obj;
    await new Promise((resolve) => setTimeout(resolve, 60));
  }
  return null;
}

// Rows of a list brought up to date in place: what stays is not made anew, so that focus, folds and typing stay as well.
// create(item) gives {node, update(item)}; key(item) says which row an item is.
const ROWS = new WeakMap();
function keyed(box, items, key, create) {
  const rows = ROWS.get(box) || new Map();
  ROWS.set(box, rows);
  const wanted = new Set(items.map(key));
  const active = box.getRootNode().activeElement;
  let lost = -1;
  for (const [id, row] of [...rows]) {
    if (wanted.has(id)) continue;
    if (row.node.contains(active)) lost = [...box.children].indexOf(row.node);
    row.node.remove();
    rows.delete(id);
  }
  items.forEach((item, at) => {
    let row = rows.get(key(item));
    if (row === undefined) {
      row = create(item);
      rows.set(key(item), row);
    }
    row.update(item);
    if (box.children[at] !== row.node) box.insertBefore(row.node, box.children[at] || null);
  });
  // The row that had the keyboard is gone: the one in its place has it now.
  if (lost >= 0 && box.children.length) {
    const next = box.children[Math.min(lost, box.children.length - 1)].querySelector("button:not(:disabled)");
    if (next) next.focus({ preventScroll: true });
  }
}

// Sets text only where it is another: a reader would announce it again, and a selection in it would be lost.
function tell(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A button that copies what `text()` gives, and says that it did. Without a clipboard it marks `shown` to be copied by hand.
function copier(label, text, shown = null) {
  const button = make("button", { class: "extenso-btn extenso-small", text: label });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch (error) {
      if (shown) getSelection().selectAllChildren(shown);
      button.textContent = shown ? "Press Ctrl+C" : "Select the text to copy it";
    }
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}
