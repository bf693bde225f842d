/* The few signs that stand on buttons: strokes on a field of 16 by 16. */

import { svg } from "./dom.js";

const PATHS = {
    copy: "M5.5 5.5v-2a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-2M3.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z",
    done: "M3 8.5l3.2 3.2L13 4.8",
    qr: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h1.5v1.5h-1.5zM13.5 9.5v1M12 13.5h1.5v-1.5M9.5 13.5h.5",
    close: "M4 4l8 8M12 4l-8 8",
    next: "M6 3.5L10.5 8 6 12.5",
    back: "M10 3.5L5.5 8l4.5 4.5",
    pin: "M6 2.5h4M6.7 2.5v4.2L4.8 9h6.4L9.3 6.7V2.5M8 9v4.5",
    replay: "M3 8a5 5 0 1 0 1.7-3.8M3 2.8v2.7h2.7",
    down: "M8 2.5v8M4.5 7.3L8 10.8l3.5-3.5M3 13.5h10",
    clear: "M3 4.5h10M6.5 4.5v-2h3v2M4.3 4.5l.6 9h6.2l.6-9",
    search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3l3.2 3.2",
};

/**
 * A sign; what it means must be said by the button's label.
 *
 * @param {string} name one of those above.
 */
export function icon(name) {
    const shape = svg("path", { d: PATHS[name] });
    return svg("svg", { class: "icon-shape", viewBox: "0 0 16 16", "aria-hidden": "true" }, shape);
}
