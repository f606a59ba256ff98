// The head: wordmark, gateway, storage, and the popovers Code and Keys.

function render({ model, el }) {
  const { root, set } = part(model, el, "header", "extenso explorer");
  const mark = make("span", { class: "extenso-header-mark" }, make("strong", { text: "extenso" }), " explorer");
  const dot = make("span", { class: "extenso-header-dot", "aria-hidden": "true" });
  const where = make("span", { class: "extenso-cut" });
  const gateway = make("span", { class: "extenso-header-gateway" }, dot, where);
  const fill = make("div");
  const bar = make("div", { class: "extenso-bar extenso-header-bar", "aria-hidden": "true" }, fill);
  const used = make("span");
  const storage = make("span", { class: "extenso-header-storage" }, used, bar);
  const boxes = {};
  const buttons = {};
  const opener = (name, label) => {
    boxes[name] = make("div", { class: "extenso-popover", role: "region", "aria-label": label, hidden: true });
    buttons[name] = make("button", {
      class: "extenso-btn extenso-small",
      text: label,
      "aria-expanded": "false",
      on: { click: () => show(model.get("showing") === name ? "" : name) },
    });
    return buttons[name];
  };
  const show = (name) => {
    set({ showing: name });
    draw();
  };
  const row = make("div", { class: "extenso-row" }, mark, gateway, make("span", { class: "extenso-grow" }), storage, opener("code", "Code"), opener("keys", "Keys"));
  root.append(row, boxes.code, boxes.keys);

  // --- code: three tabs
  let language = "";
  const tabs = make("div", { class: "extenso-seg", role: "tablist", "aria-label": "Language" });
  const text = make("pre", { class: "extenso-mono extenso-header-code", tabIndex: 0, role: "tabpanel", "aria-label": "Code" });
  const why = make("div", { class: "extenso-warn" });
  const copy = copier("Copy", () => text.textContent, text);
  boxes.code.append(make("div", { class: "extenso-row" }, tabs, make("span", { class: "extenso-grow" }), copy), text, why);
  roving(tabs, (tab) => choose(tab.dataset.key));
  const choose = (name) => {
    language = name;
    drawCode();
  };
  const drawCode = () => {
    const code = model.get("code");
    const names = Object.keys(code);
    if (!names.includes(language)) language = names[0] || "";
    keyed(tabs, names, (name) => name, (name) => {
      const node = make("button", { text: name, role: "tab", data: { key: name }, on: { click: () => choose(name) } });
      const update = () => {
        node.setAttribute("aria-selected", String(name === language));
        node.tabIndex = name === language ? 0 : -1;
      };
      return { node, update };
    });
    tell(text, code[language] || "");
    text.hidden = tabs.hidden = copy.hidden = names.length === 0;
    tell(why, model.get("code_note"));
    why.hidden = !model.get("code_note");
  };

  // --- keys
  const list = make("dl", { class: "extenso-header-keys" });
  boxes.keys.append(list);
  for (const { keys, does } of model.get("keys_help")) list.append(make("dt", {}, make("kbd", { text: keys })), make("dd", { text: does }));

  const draw = () => {
    const showing = model.get("showing");
    for (const name of Object.keys(boxes)) {
      boxes[name].hidden = showing !== name;
      buttons[name].setAttribute("aria-expanded", String(showing === name));
    }
  };
  root.addEventListener("keydown", (event) => {
    const showing = model.get("showing");
    if (event.key !== "Escape" || !showing) return;
    show("");
    buttons[showing].focus();
    keep(event);
  });
  const outside = (event) => {
    if (model.get("showing") && !event.composedPath().includes(root)) show("");
  };
  document.addEventListener("pointerdown", outside);

  const drawGateway = () => {
    const reached = model.get("reached");
    const name = model.get("gateway");
    dot.dataset.reached = reached;
    tell(where, name ? [name, reached].filter(Boolean).join(", ") : "no gateway");
  };
  const drawStorage = () => {
    const now = model.get("storage");
    storage.hidden = !now.words;
    tell(used, now.words || "");
    storage.title = now.name ? "Storage of account " + now.name : "";
    fill.style.width = 100 * (now.share || 0) + "%";
  };
  const stops = [
    watch(model, ["showing"], draw),
    watch(model, ["code", "code_note"], drawCode),
    watch(model, ["gateway", "reached"], drawGateway),
    watch(model, ["storage"], drawStorage),
    () => document.removeEventListener("pointerdown", outside),
  ];
  return () => stops.forEach((stop) => stop());
}

export default { render };
