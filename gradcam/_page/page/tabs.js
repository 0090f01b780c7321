// The tabs of the page: one part is shown at a time.

/**
 * Makes a tab for each panel and shows the one of `state.tab`. The body's attribute `data-place` says
 * where it is, for the style.
 * @param {HTMLElement} root
 * @param {{key: string, title: string, place: string}[]} panels
 * @param {ReturnType<import("./store.js").createStore>} store
 */
export function mountTabs(root, panels, store) {
  const buttons = panels.map(({key, title}) => {
    const button = document.createElement("button");
    button.type = "button";
    button.id = `tab-${key}`;
    button.setAttribute("role", "tab");
    button.textContent = title;
    const panel = panelOf(key);
    button.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", button.id);
    button.addEventListener("click", () => store.update({tab: key}));
    root.append(button);
    return button;
  });
  root.hidden = panels.length < 2;
  root.addEventListener("keydown", (event) => {
    const count = panels.length;
    const at = panels.findIndex(({key}) => key === store.get().tab);
    const to = {ArrowRight: (at + 1) % count, ArrowLeft: (at + count - 1) % count, Home: 0, End: count - 1};
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    store.update({tab: panels[next].key});
    buttons[next].focus();
  });
  store.subscribe(({tab}) => show(panels, buttons, tab));
  show(panels, buttons, store.get().tab);
}

/** Returns the element of a panel; those of the page itself have their key as id. */
function panelOf(key) {
  return document.getElementById(`panel-${key}`) ?? document.getElementById(key);
}

function show(panels, buttons, tab) {
  panels.forEach(({key, place}, n) => {
    const selected = key === tab;
    buttons[n].setAttribute("aria-selected", selected);
    buttons[n].tabIndex = selected ? 0 : -1;
    if (selected) document.body.dataset.place = place;
    const root = document.getElementById(`panel-${key}`);
    if (root) root.hidden = !selected;
  });
}
