/* The bar on top: the services with their public addresses, and whether the page is live. */

import { copyButton } from "../shared/copy.js";
import { follow, foreign, h, outside } from "../shared/dom.js";

/**
 * The bar.
 *
 * @param {Element} state says whether the page is live.
 * @param {function} onHelp shows the keys.
 * @returns {{element: Element, show: function(Array)}} `show` takes the services.
 */
export function bar(state, onHelp) {
    const list = h("ul", { class: "services", tabindex: "0", "aria-label": "Services" });
    const help = h(
        "button",
        { class: "button icon", type: "button", "aria-label": "Keys", title: "Keys (?)", on: { click: onHelp } },
        "?",
    );
    const element = h(
        "header",
        { class: "bar" },
        h("h1", { class: "mark" }, "inletspy", h("span", { class: "faint part-name" }, " inspector")),
        list,
        h("div", { class: "end" }, state, help),
    );
    const show = (services) => follow(list, services, (each) => JSON.stringify(each), service);
    return { element, show };
}

function service({ name, public_url: url, upstream }) {
    const shown = url ? foreign(url.replace(/^https?:\/\//, ""), { most: 100 }) : foreign(name);
    const element = h(
        "li",
        { title: upstream ? `Leads to ${upstream}` : null },
        url ? outside(url, shown) : shown,
        url && copyButton(url, { label: `Copy ${url}`, small: true }),
    );
    return { element, update: () => {} };
}
