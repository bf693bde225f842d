/* Tabs (ARIA): one of several panels is shown; arrows lead from one to the next. */

import { h, newId } from "./dom.js";

/**
 * Tabs and their panels.
 *
 * @param {string} label what they are tabs of, for those who listen.
 * @param {Array} tabs each {name, title, content}: content is a node, or a function that
 *     makes it when it is first shown.
 * @param {object} options `chosen`: the name of the first one shown; `onChoose(name)`.
 * @returns {{element: Element, choose: function(string)}}
 */
export function tabs(label, tabs, { chosen = tabs[0]?.name, onChoose = () => {} } = {}) {
    const buttons = new Map();
    const panels = new Map();
    const made = new Set();
    for (const { name, title } of tabs) {
        const id = newId("tab");
        const panel = h("div", { role: "tabpanel", id: `${id}-panel`, "aria-labelledby": id });
        const properties = {
            role: "tab",
            type: "button",
            id,
            "aria-controls": panel.id,
            on: { click: () => choose(name), keydown: (event) => pressed(event, name) },
        };
        buttons.set(name, h("button", properties, title));
        panels.set(name, panel);
    }

    function choose(name, { tell = true } = {}) {
        for (const [each, button] of buttons) {
            const selected = each === name;
            button.setAttribute("aria-selected", selected);
            button.tabIndex = selected ? 0 : -1;
            panels.get(each).hidden = !selected;
        }
        if (!made.has(name)) {
            made.add(name);
            const { content } = tabs.find((tab) => tab.name === name);
            panels.get(name).append(typeof content === "function" ? content() : content);
        }
        if (tell) onChoose(name);
    }

    function pressed(event, name) {
        const names = [...buttons.keys()];
        const at = names.indexOf(name);
        const to = {
            ArrowRight: (at + 1) % names.length,
            ArrowLeft: (at + names.length - 1) % names.length,
            Home: 0,
            End: names.length - 1,
        }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        choose(names[to]);
        buttons.get(names[to]).focus();
    }

    if (chosen !== undefined) choose(chosen, { tell: false });
    const bar = h("div", { class: "tabs", role: "tablist", "aria-label": label }, [
        ...buttons.values(),
    ]);
    return { element: h("div", { class: "tabbed" }, bar, [...panels.values()]), choose };
}
