// The basket.
function render({ model, el }) {
  const { root, send } = part(model, el, "basket", "Basket");
  const text = make("span");
  const buttons = [["estimate", "Estimate"], ["order", "Order"]].map(([kind, label]) => make("button", { class: "extenso-btn", text: label, on: { click: () => send(kind) } }));
  root.append(make("div", { class: "extenso-row" }, text, ...buttons));
  return watch(model, ["text"], () => (text.textContent = model.get("text")));
}

export default { render };
