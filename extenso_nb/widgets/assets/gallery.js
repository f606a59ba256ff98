// The results as cards: pictures, facts, selection. Keyboard: arrows, Home, End, Space or Enter.
// State comes and goes through the model's traits; all text is set as text, never as markup.

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function render({ model, el }) {
  const root = element("section", "extenso-gallery");
  root.setAttribute("aria-label", "Products found");
  const dead = element("div", "extenso-dead", "The kernel does not answer any more. Run the cell again.");
  dead.setAttribute("role", "alert");
  dead.hidden = true;
  const head = element("div", "extenso-gallery-head");
  const caption = element("div", "extenso-caption");
  const all = element("button", "extenso-small", "Select all");
  const none = element("button", "extenso-small", "Clear");
  all.type = none.type = "button";
  head.append(caption, all, none);
  const empty = element("div", "extenso-empty");
  const list = element("div", "extenso-cards");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-multiselectable", "true");
  list.setAttribute("aria-label", "Products; Space selects");
  const more = element("button", "extenso-more");
  more.type = "button";
  root.append(dead, head, empty, list, more);
  el.append(root);

  let cards = new Map();
  let current = null;

  // A dead kernel leaves a widget that looks alive. The front end tells the model, by this event; `model.send` throws, but
  // `save_changes` fails out of sight, after it has returned.
  let gone = false;
  const died = () => {
    gone = true;
    dead.hidden = false;
  };
  const attempt = (act) => {
    if (gone) return;
    try {
      act();
      dead.hidden = true;
    } catch (error) {
      dead.hidden = false;
    }
  };
  const put = (name, value) =>
    attempt(() => {
      model.set(name, value);
      model.save_changes();
    });

  const toggle = (id) => {
    const before = model.get("selected");
    put("selected", before.includes(id) ? before.filter((key) => key !== id) : [...before, id]);
  };

  let timer = null;
  const point = (id) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (model.get("hovered") !== id) put("hovered", id);
    }, 40);
  };

  const focus = (id) => {
    const card = cards.get(id);
    if (!card) return;
    if (current && cards.get(current)) cards.get(current).tabIndex = -1;
    current = id;
    card.tabIndex = 0;
    card.focus({ preventScroll: true });
    reveal(card);
  };

  // Scrolls the list only; scrollIntoView would move the whole notebook.
  const reveal = (card) => {
    const box = list.getBoundingClientRect();
    const own = card.getBoundingClientRect();
    if (own.top < box.top) list.scrollTop -= box.top - own.top + 6;
    else if (own.bottom > box.bottom) list.scrollTop += own.bottom - box.bottom + 6;
  };

  const columns = () => {
    const tops = [...cards.values()].map((card) => card.offsetTop);
    return Math.max(1, tops.filter((top) => top === tops[0]).length);
  };

  list.addEventListener("keydown", (event) => {
    const ids = [...cards.keys()];
    const at = ids.indexOf(current);
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
    if (event.key in steps) focus(ids[Math.min(Math.max(at + steps[event.key], 0), ids.length - 1)]);
    else if (event.key === "Home") focus(ids[0]);
    else if (event.key === "End") focus(ids[ids.length - 1]);
    else if ((event.key === " " || event.key === "Enter") && current) toggle(current);
    else return;
    // Jupyter has meanings of its own for these keys.
    event.preventDefault();
    event.stopPropagation();
  });
  list.addEventListener("pointerleave", () => point(""));
  all.addEventListener("click", () => put("selected", model.get("items").map((item) => item.id)));
  none.addEventListener("click", () => put("selected", []));
  more.addEventListener("click", () => attempt(() => model.send({ kind: "more" })));

  const makeCard = (item) => {
    const card = element("div", "extenso-card");
    card.setAttribute("role", "option");
    card.title = item.id;
    card.tabIndex = -1;
    const frame = element("div", "extenso-picture");
    const tick = element("span", "extenso-tick", "✓");
    tick.setAttribute("aria-hidden", "true");
    const text = element("div", "extenso-facts");
    const first = element("div", "extenso-kind", item.kind);
    const cloud = element("span", "extenso-cloud", item.cloud);
    cloud.style.setProperty("--extenso-cloud", item.colour);
    const state = element("span", "extenso-state" + (item.online ? "" : " extenso-cold"), item.state);
    const facts = element("div", "extenso-line");
    facts.append(cloud, element("span", "", item.size), state);
    text.append(first, element("div", "extenso-line", item.time), facts);
    if (item.ordered) text.append(element("div", "extenso-ordered", item.ordered));
    card.append(frame, tick, text);
    card.setAttribute("aria-label", [item.kind, item.time, item.cloud, item.size, item.state, item.ordered].filter(Boolean).join(", "));
    card.addEventListener("click", () => {
      focus(item.id);
      toggle(item.id);
    });
    card.addEventListener("pointerenter", () => point(item.id));
    card.addEventListener("focus", () => point(item.id));
    return card;
  };

  const drawItems = () => {
    const items = model.get("items");
    const focused = list.contains(document.activeElement);
    const scrolled = list.scrollTop;
    cards = new Map(items.map((item) => [item.id, makeCard(item)]));
    list.replaceChildren(...cards.values());
    list.hidden = items.length === 0;
    all.hidden = none.hidden = items.length === 0;
    list.scrollTop = scrolled;
    if (!cards.has(current)) current = items.length ? items[0].id : null;
    if (current) cards.get(current).tabIndex = 0;
    if (focused && current) cards.get(current).focus({ preventScroll: true });
    drawPictures();
    drawSelected();
  };
  const drawPictures = () => {
    const pictures = model.get("pictures");
    for (const [id, card] of cards) {
      const frame = card.firstChild;
      const source = pictures[id];
      if (source && frame.dataset.source !== "yes") {
        const image = element("img");
        image.alt = "";
        image.src = source;
        frame.replaceChildren(image);
        frame.dataset.source = "yes";
      } else if (source === "") {
        frame.textContent = "no picture";
      }
    }
  };
  const drawSelected = () => {
    const chosen = new Set(model.get("selected"));
    for (const [id, card] of cards) {
      card.classList.toggle("extenso-chosen", chosen.has(id));
      card.setAttribute("aria-selected", String(chosen.has(id)));
    }
  };
  const drawHovered = () => {
    const hovered = model.get("hovered");
    for (const [id, card] of cards) card.classList.toggle("extenso-hovered", id === hovered);
    const card = cards.get(hovered);
    if (card && !list.matches(":hover")) reveal(card);
  };
  const drawWords = () => {
    caption.textContent = model.get("caption");
    empty.textContent = model.get("empty");
    empty.hidden = !model.get("empty");
    more.textContent = model.get("more");
    more.hidden = !model.get("more");
    more.disabled = model.get("busy");
    list.setAttribute("aria-busy", String(model.get("busy")));
    root.classList.toggle("extenso-busy", model.get("busy"));
  };

  // The drawing tools and the slider come without names for those who cannot see them. The map may be drawn after this
  // widget, and draws its tools anew at times: wait for it, then watch its controls.
  const nameTools = (explorer) => {
    for (const box of explorer.querySelectorAll(".leaflet-pm-toolbar .button-container")) {
      const name = box.title || box.querySelector("[title]")?.title;
      const link = box.querySelector("a.leaflet-buttons-control-button");
      if (link && name && !link.hasAttribute("aria-label")) link.setAttribute("aria-label", name);
    }
    for (const handle of explorer.querySelectorAll(".noUi-handle:not([aria-label])")) {
      handle.setAttribute("aria-label", "Most cloud cover, per cent");
    }
  };
  let watcher = null;
  const waiting = setInterval(() => {
    const explorer = el.closest(".extenso-explorer");
    const controls = explorer?.querySelector(".leaflet-control-container");
    if (!controls) return;
    clearInterval(waiting);
    nameTools(explorer);
    watcher = new MutationObserver(() => nameTools(explorer));
    watcher.observe(controls, { childList: true, subtree: true });
  }, 500);

  const listeners = {
    "change:items": drawItems,
    "change:pictures": drawPictures,
    "change:selected": drawSelected,
    "change:hovered": drawHovered,
    "change:caption": drawWords,
    "change:empty": drawWords,
    "change:more": drawWords,
    "change:busy": drawWords,
    comm_live_update: died,
  };
  for (const [name, listener] of Object.entries(listeners)) model.on(name, listener);
  drawItems();
  drawWords();
  drawHovered();
  return () => {
    clearTimeout(timer);
    clearInterval(waiting);
    watcher?.disconnect();
    for (const [name, listener] of Object.entries(listeners)) model.off(name, listener);
  };
}

export default { render };
