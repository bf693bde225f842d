/* Texts of strangers of any length: cut at first, whole when asked for. */

import { foreign, h } from "../shared/dom.js";
import { count } from "../shared/format.js";

/**
 * A text, of which the beginning is shown; a button shows the rest.
 *
 * @param {string} text anybody's.
 * @param {number} most characters that are shown at first.
 */
export function long(text, most = 400) {
    const whole = String(text);
    if (whole.length <= most) return foreign(whole, { most });
    const box = h("span", { class: "long" });
    const more = h(
        "button",
        {
            class: "link",
            type: "button",
            on: { click: () => box.replaceChildren(foreign(whole, { most: Infinity, tabindex: "-1" })) },
        },
        `Show all ${count(whole.length)} characters`,
    );
    box.append(foreign(whole, { most }), " ", more);
    return box;
}
