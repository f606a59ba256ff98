// Orders with a bar for each delivery; buttons to cancel an order and to load a delivered product.

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function render({ model, el }) {
  const root = element("section", "extenso-board");
  root.setAttribute("aria-label", "Orders");
  const dead = element("div", "extenso-dead", "The kernel does not answer any more. Run the cell again; orders go on without it.");
  dead.setAttribute("role", "alert");
  dead.hidden = true;
  const list = element("div");
  root.append(dead, list);
  el.append(root);

  const send = (message) => {
    try {
      model.send(message);
    } catch (error) {
      dead.hidden = false;
    }
  };
  const button = (text, label, message, key) => {
    const node = element("button", "extenso-small", text);
    node.type = "button";
    node.dataset.key = key;
    node.setAttribute("aria-label", label);
    node.addEventListener("click", () => send(message));
    return node;
  };

  const row = (delivery) => {
    const line = element("div", "extenso-delivery");
    const name = element("span", "extenso-product", delivery.product);
    name.title = delivery.product;
    const bar = element("div", "extenso-bar");
    const share = Math.round(100 * delivery.fraction);
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-label", delivery.product);
    bar.setAttribute("aria-valuemin", "0");
    bar.setAttribute("aria-valuemax", "100");
    bar.setAttribute("aria-valuenow", String(share));
    bar.setAttribute("aria-valuetext", delivery.status + ", " + share + " %");
    const fill = element("div", "extenso-fill extenso-" + delivery.status);
    fill.style.width = share + "%";
    bar.append(fill);
    const words = element("span", "extenso-words", delivery.status + (delivery.text ? ", " + delivery.text : ""));
    line.append(bar, words, name);
    if (delivery.ready) {
      const text = delivery.opened ? "Loaded" : "Load";
      line.append(button(text, "Load " + delivery.product, { kind: "open", delivery: delivery.id }, "open " + delivery.id));
    }
    if (delivery.note) line.append(element("div", "extenso-note", delivery.note));
    return line;
  };

  const draw = () => {
    // A redraw must not take the keyboard away from the button that was pressed.
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const orders = model.get("orders").map((order) => {
      const box = element("details", "extenso-order");
      box.open = true;
      const head = element("summary", "extenso-order-head");
      head.append(element("span", "extenso-kind", order.title), element("span", "extenso-words", order.text));
      if (order.open) head.append(button("Cancel", "Cancel " + order.title, { kind: "cancel", order: order.id }, "cancel " + order.id));
      box.append(head, ...order.rows.map(row));
      const key = String(order.id);
      box.open = !closed.has(key);
      box.addEventListener("toggle", () => (box.open ? closed.delete(key) : closed.add(key)));
      return box;
    });
    list.replaceChildren(...orders);
    root.hidden = orders.length === 0;
    if (focused) {
      const again = [...list.querySelectorAll("button")].find((node) => node.dataset.key === focused);
      if (again) again.focus({ preventScroll: true });
    }
  };
  const closed = new Set();
  model.on("change:orders", draw);
  draw();
  return () => model.off("change:orders", draw);
}

export default { render };
