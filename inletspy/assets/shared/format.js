/* Numbers, times and texts as people read them. Pure functions: no page, no clock but
 * the one that is passed in.
 */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** A number of things: 12,345. */
export function count(number) {
    return whole.format(number);
}

/** A number with three digits, so that those below each other can be compared. */
function rounded(number) {
    if (number >= 99.95) return whole.format(number);
    return number.toFixed(number >= 9.995 ? 1 : 2);
}

/** Bytes as [number, unit]: ["1.42", "MB"], by thousands. */
export function bytesParts(number) {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let step = 0;
    // 999.95 kB would round to "1,000 kB".
    while (number >= 999.5 && step < units.length - 1) {
        number /= 1000;
        step += 1;
    }
    return [step ? rounded(number) : whole.format(number), units[step]];
}

/** Bytes: 1.42 MB. */
export function bytes(number) {
    return bytesParts(number).join(" ");
}

/** Something by the second: 4.2. */
export function perSecond(number) {
    if (!number) return "0";
    if (number < 0.005) return "< 0.01";
    if (number >= 99.95) return whole.format(number);
    return number.toFixed(number >= 0.995 ? 1 : 2);
}

/** A time that something took, as [number, unit]: ["1.2", "ms"], ["12", "ms"], ["1.24", "s"]. */
export function tookParts(milliseconds) {
    if (milliseconds === null || milliseconds === undefined) return ["–", ""];
    if (milliseconds < 0.1) return ["< 0.1", "ms"];
    if (milliseconds < 9.95) return [milliseconds.toFixed(1), "ms"];
    if (milliseconds < 999.5) return [String(Math.round(milliseconds)), "ms"];
    if (milliseconds < 99_950) return [rounded(milliseconds / 1000), "s"];
    return [rounded(milliseconds / 60_000), "min"];
}

/** A time that something took: 12 ms, 1.24 s; a dash for none. */
export function took(milliseconds) {
    return tookParts(milliseconds).join(" ").trim();
}

/** A longer time in the two largest units: 3 d 4 h, 12 min, 8 s. */
export function span(seconds) {
    seconds = Math.max(0, Math.floor(seconds));
    const units = [
        [86_400, "d"],
        [3_600, "h"],
        [60, "min"],
        [1, "s"],
    ];
    const first = units.findIndex(([size]) => seconds >= size);
    if (first < 0) return "0 s";
    const [size, name] = units[first];
    const parts = [`${Math.floor(seconds / size)} ${name}`];
    // Seconds matter to nobody once there are minutes.
    if (first < 2) {
        const [nextSize, nextName] = units[first + 1];
        const rest = Math.floor((seconds % size) / nextSize);
        if (rest) parts.push(`${rest} ${nextName}`);
    }
    return parts.join(" ");
}

const two = (number) => String(number).padStart(2, "0");

/** The time of day here: 14:03:22, or with milliseconds. */
export function timeOfDay(moment, { milliseconds = false } = {}) {
    const date = new Date(moment);
    const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
    return milliseconds ? `${time}.${String(date.getMilliseconds()).padStart(3, "0")}` : time;
}

/** Date and time here: 2031-01-31 14:03. */
export function dateAndTime(moment) {
    const date = new Date(moment);
    const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
    return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** How long ago: 12 s, 3 min, 2 h 5 min. Server and browser may disagree a little. */
export function since(moment, now = Date.now()) {
    return span((now - new Date(moment).getTime()) / 1000);
}

/** What is to come: "in 2 h", or "now". */
export function until(moment, now = Date.now()) {
    const seconds = (new Date(moment).getTime() - now) / 1000;
    return seconds < 1 ? "now" : `in ${span(seconds)}`;
}

/** The class of an HTTP status: "2xx"; "none" where there is none. */
export function statusClass(status) {
    return status >= 100 && status <= 599 ? `${Math.floor(status / 100)}xx` : "none";
}

/* Characters that are not seen, or that make others be seen elsewhere: controls, soft
 * hyphen, marks and overrides of direction, what has no width, separators of lines,
 * variation selectors in their own plane and tags, and halves of characters.
 */
const UNSEEN = new RegExp(
    "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u180e\\u200b-\\u200f" +
        "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb" +
        "\\u{e0000}-\\u{e0fff}]|\\p{Surrogate}",
    "gu",
);

function picture(character) {
    const code = character.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}

/**
 * A text in which every character is seen: control characters as their pictures, marks
 * of direction and what has no width by number.
 *
 * @param {string} text of anybody's.
 * @param {object} options `lines`: leave line breaks and tabs as they are.
 */
export function visible(text, { lines = false } = {}) {
    return String(text).replace(UNSEEN, (character) =>
        lines && "\n\r\t".includes(character) ? character : picture(character),
    );
}

/** The first so many characters of a text, with a sign that there is more. */
export function cut(text, most) {
    const string = String(text);
    if (string.length <= most) return string;
    // Not through the middle of a character.
    const end = /[\ud800-\udbff]/.test(string[most - 1]) ? most - 1 : most;
    return `${string.slice(0, end)}…`;
}
