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
// A dead kernel leaves a widget that looks alive: sending throws, and that is the only sign of it.
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
  const attempt = (act) => {
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
