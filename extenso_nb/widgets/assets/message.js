// One line that says what happened; an error also says why and what to do, can be copied, and tried again where that helps.

const LEVEL_WORDS = { info: "Info", success: "Done", warning: "Warning", error: "Error" };
const MESSAGE_PARTS = ["level", "title", "detail", "hint", "retry", "stop"];

function render({ model, el }) {
  const { root, send } = part(model, el, "message", "Messages");
  const word = make("span", { class: "extenso-message-word", "aria-hidden": "true" });
  // Both regions stay in the page: a reader announces changes of a region, not new regions.
  const status = make("div", { class: "extenso-message-text", role: "status" });
  const alert = make("div", { class: "extenso-message-text", role: "alert" });
  const press = (name) => () => send(name, { command: model.get(name) });
  const retry = make("button", { class: "extenso-btn extenso-small", text: "Retry", on: { click: press("retry") } });
  const stop = make("button", { class: "extenso-btn extenso-small", text: "Cancel", on: { click: press("stop") } });
  const texts = () => ["title", "detail", "hint"].map((name) => model.get(name)).filter(Boolean);
  const copy = copier("Copy report", () => texts().join("\n"));
  const buttons = make("div", { class: "extenso-row extenso-message-buttons" }, stop, retry, copy);
  root.append(make("div", { class: "extenso-message-line" }, word, status, alert, buttons));

  let shown = "";
  const draw = () => {
    const level = model.get("level");
    const loud = level === "error" || level === "warning";
    root.dataset.level = level;
    tell(word, LEVEL_WORDS[level] || "Ready");
    retry.hidden = !model.get("retry");
    stop.hidden = !model.get("stop");
    copy.hidden = level !== "error";
    const now = level + "\n" + texts().join("\n");
    if (now === shown) return; // only a button has changed: nothing is announced again
    shown = now;
    const parts = ["title", "detail", "hint"]
      .filter((name) => model.get(name))
      .map((name) => make(name === "title" ? "strong" : "span", { class: "extenso-message-" + name, text: model.get(name) }));
    const region = loud ? alert : status;
    (loud ? status : alert).replaceChildren();
    region.replaceChildren(...parts.flatMap((node) => [node, " "]));
    region.title = loud ? "" : texts().join(" ");
  };
  return watch(model, MESSAGE_PARTS, draw);
}

export default { render };
