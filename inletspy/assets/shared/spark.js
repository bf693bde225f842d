/* Small charts, as inline SVG that scales with its place. */

import { h, svg } from "./dom.js";
import { count } from "./format.js";

/** The height of the field that values are drawn on. */
const HEIGHT = 100;

/**
 * A row of bars, one for each value.
 *
 * @param {object} options `label(values)`: what it shows, for those who listen.
 * @returns {{element: Element, update: function(number[])}}
 */
export function spark({ label = told } = {}) {
    const area = svg("path", { class: "area" });
    const base = svg("path", { class: "base" });
    const element = svg(
        "svg",
        { class: "spark", role: "img", preserveAspectRatio: "none" },
        base,
        area,
    );
    let drawn = null;
    const update = (values) => {
        const text = values.join();
        if (text === drawn) return;
        drawn = text;
        const width = values.length * 4;
        element.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
        base.setAttribute("d", `M0 ${HEIGHT}H${width}`);
        area.setAttribute("d", bars(values));
        element.setAttribute("aria-label", label(values));
    };
    return { element, update };
}

function bars(values) {
    const most = Math.max(1, ...values);
    let path = "";
    values.forEach((value, place) => {
        if (value <= 0) return;
        // What there is is seen, however little beside the most.
        const height = Math.max(6, (value / most) * HEIGHT);
        path += `M${place * 4} ${HEIGHT}v${-height.toFixed(1)}h3v${height.toFixed(1)}z`;
    });
    return path;
}

function told(values) {
    const all = values.reduce((sum, value) => sum + value, 0);
    return `${count(all)} requests in the last 15 minutes`;
}

const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/**
 * The shares of the status classes, as one thin bar.
 *
 * @returns {{element: Element, update: function(object)}} `update` takes class to number.
 */
export function shares() {
    const parts = CLASSES.map((name) => svg("rect", { class: `area-${name}`, height: 1 }));
    const element = svg(
        "svg",
        { class: "shares", role: "img", viewBox: "0 0 100 1", preserveAspectRatio: "none" },
        svg("rect", { class: "none", width: 100, height: 1 }),
        parts,
    );
    const update = (statuses) => {
        const numbers = CLASSES.map((name) => statuses[name] ?? 0);
        const all = numbers.reduce((sum, number) => sum + number, 0);
        let x = 0;
        numbers.forEach((number, place) => {
            const width = all ? (number / all) * 100 : 0;
            parts[place].setAttribute("x", x.toFixed(2));
            parts[place].setAttribute("width", width.toFixed(2));
            x += width;
        });
        element.setAttribute("aria-label", sharesTold(statuses));
    };
    return { element, update };
}

function sharesTold(statuses) {
    const parts = CLASSES.filter((name) => statuses[name]).map(
        (name) => `${name}: ${count(statuses[name])}`,
    );
    return parts.length ? `Answers by status: ${parts.join(", ")}` : "No answers yet";
}

/** What the colours of `shares` mean, with the numbers. */
export function sharesLegend() {
    const numbers = CLASSES.map(() => h("span", {}));
    const items = CLASSES.map((name, place) =>
        h("li", {}, h("span", { class: `swatch area-${name}` }), `${name} `, numbers[place]),
    );
    const update = (statuses) => {
        CLASSES.forEach((name, place) => {
            numbers[place].textContent = count(statuses[name] ?? 0);
            // Rare ones only take room once there are any.
            items[place].hidden = !statuses[name] && (name === "1xx" || name === "3xx");
        });
    };
    return { element: h("ul", { class: "legend" }, items), update };
}
