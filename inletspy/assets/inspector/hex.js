/* Bytes as people read them who must: by number, and as characters where they are any. */

import { h } from "../shared/dom.js";
import { bytes as size } from "../shared/format.js";

/** Bytes shown at first, and with each further step. */
const FIRST = 4096;
const STEP = 65_536;
/** Width of a page that has room for sixteen bytes a line. */
const WIDE = "(min-width: 48rem)";

/** A view of bytes. */
export function hex(content) {
    const perLine = matchMedia(WIDE).matches ? 16 : 8;
    const text = h("pre", { class: "hex", tabindex: "0", role: "group", "aria-label": "Bytes" });
    const more = h("button", { class: "button", type: "button" });
    let shown = 0;
    const show = (most) => {
        const end = Math.min(content.length, shown + most);
        text.append(lines(content, shown, end, perLine));
        shown = end;
        more.hidden = shown === content.length;
        more.textContent = `Show ${size(Math.min(STEP, content.length - shown))} more`;
    };
    more.addEventListener("click", () => show(STEP));
    show(FIRST);
    return h("div", { class: "stack-tight" }, text, more);
}

/** The lines for [start, end), each with its line break. */
export function lines(content, start, end, perLine) {
    const made = [];
    for (let at = start; at < end; at += perLine) {
        const row = [...content.subarray(at, Math.min(end, at + perLine))];
        const numbers = row.map((byte) => byte.toString(16).padStart(2, "0"));
        const half = perLine / 2;
        const left = numbers.slice(0, half).join(" ").padEnd(half * 3 - 1);
        const right = numbers.slice(half).join(" ").padEnd(half * 3 - 1);
        const characters = row.map((byte) =>
            byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·",
        );
        made.push(`${at.toString(16).padStart(6, "0")}  ${left}  ${right}  ${characters.join("")}\n`);
    }
    return made.join("");
}

/** The bytes that base64 stands for. */
export function fromBase64(text) {
    const characters = atob(text);
    const content = new Uint8Array(characters.length);
    for (let at = 0; at < characters.length; at += 1) content[at] = characters.charCodeAt(at);
    return content;
}
