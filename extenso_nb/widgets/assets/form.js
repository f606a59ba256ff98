// The search form.
function render({ model, el }) {
  const { root, send } = part(model, el, "form", "Search");
  const text = make("span");
  const buttons = [["search", "Search"], ["cancel", "Cancel"]].map(([kind, label]) => make("button", { class: "extenso-btn", text: label, on: { click: () => send(kind) } }));
  root.append(make("div", { class: "extenso-row" }, text, ...buttons));
  return watch(model, ["values"], () => (text.textContent = model.get("values").collection));
}

export default { render };
