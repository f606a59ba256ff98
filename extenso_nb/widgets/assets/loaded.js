// What was loaded last: its name in the notebook, a line to go on with, and its first picture.

function render({ model, el }) {
  const { root, send } = part(model, el, "loaded", "Product loaded");
  const short = make("span", { class: "extenso-strong" });
  const text = make("span");
  const called = make("code", { class: "extenso-mono" });
  const there = make("span", {}, " is ", called, " in this notebook.");
  const code = make("code", { class: "extenso-mono extenso-loaded-code", tabIndex: 0, "aria-label": "A line to go on with" });
  const copy = copier("Copy", () => model.get("code"), code);
  const line = make("div", { class: "extenso-loaded-line" }, code, copy);
  const picture = make("img", { class: "extenso-loaded-picture" });
  const note = make("div", { class: "extenso-faint" });
  const close = make("button", { class: "extenso-btn extenso-small", text: "Close", on: { click: () => send("close") } });
  const head = make("div", { class: "extenso-row" }, make("div", { class: "extenso-grow extenso-loaded-text" }, short, there, text), close);
  root.append(head, line, picture, note);

  const draw = () => {
    root.hidden = !model.get("product");
    tell(short, model.get("short"));
    short.title = model.get("product");
    const name = model.get("name");
    tell(called, name);
    there.hidden = !name;
    tell(text, name ? "" : " is loaded. " + model.get("text"));
    tell(code, model.get("code"));
    line.hidden = !model.get("code");
    const uri = model.get("picture");
    picture.hidden = !uri;
    picture.alt = "First picture of " + model.get("short");
    if (uri && picture.getAttribute("src") !== uri) picture.setAttribute("src", uri);
    tell(note, model.get("note"));
    note.hidden = !model.get("note");
  };
  return watch(model, ["product", "short", "name", "text", "code", "picture", "note"], draw);
}

export default { render };
