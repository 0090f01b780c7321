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
    button.addEventListener("click", () => store.update({tab: key}));
    root.append(button);
    return button;
  });
  root.hidden = panels.length < 2;
  root.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (!step) return;
    const at = panels.findIndex(({key}) => key === store.get().tab);
    const next = (at + step + panels.length) % panels.length;
    store.update({tab: panels[next].key});
    buttons[next].focus();
  });
  store.subscribe(({tab}) => show(panels, buttons, tab));
  show(panels, buttons, store.get().tab);
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
