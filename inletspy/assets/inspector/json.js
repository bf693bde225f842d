/* Reads JSON as it was written: numbers keep their digits, names their order and their
 * doubles, and a text that is cut short gives what there is of it.
 */

/** Values inside of one another, past which a text is not read. */
const DEEPEST = 500;

const SPACE = /[ \t\n\r]*/y;
const WORD = /true|false|null/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
/** What a text that ends within a word or number may have left. */
const CUT_SHORT = /^(?:t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|-|\.?\d*(?:[eE][+-]?\d*)?)$/;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/**
 * The tree of a text: nodes `{kind, …}` with kind "object" (entries: [[name, node]]),
 * "array" (items: [node]), "string" (value), "number", "word" (text). A node has `cut: true`
 * if the text ends within it.
 *
 * Returns null for what is no JSON, or is too deep. With `cut`, the text may end anywhere.
 */
export function parseJson(text, cut = false) {
    const reader = new Reader(text, cut);
    try {
        const node = reader.value(0);
        reader.skip(SPACE);
        return node && reader.at === text.length ? node : null;
    } catch (error) {
        if (error instanceof NotJson) return null;
        throw error;
    }
}

class NotJson extends Error {}

class Reader {
    constructor(text, cut) {
        this.text = text;
        this.mayEnd = cut;
        this.at = 0;
    }

    skip(pattern) {
        pattern.lastIndex = this.at;
        const found = pattern.exec(this.text);
        if (found === null) return null;
        this.at = pattern.lastIndex;
        return found[0];
    }

    /** The next character that is no space; null at the end of a text that is cut. */
    next() {
        this.skip(SPACE);
        if (this.at < this.text.length) return this.text[this.at];
        if (this.mayEnd) return null;
        throw new NotJson();
    }

    /** What a cut text has left when it ends within a value; else there is no such value. */
    rest(pattern) {
        const left = this.text.slice(this.at);
        if (!this.mayEnd || !pattern.test(left)) throw new NotJson();
        this.at = this.text.length;
        return left;
    }

    value(depth) {
        if (depth > DEEPEST) throw new NotJson();
        const first = this.next();
        if (first === null) return null;
        if (first === "{") return this.object(depth);
        if (first === "[") return this.array(depth);
        if (first === '"') return this.string();
        const word = this.skip(WORD);
        if (word !== null) return { kind: "word", text: word };
        const number = this.skip(NUMBER);
        const ended = this.at < this.text.length && !/[.eE]/.test(this.text[this.at]);
        if (number !== null && (ended || !this.mayEnd)) return { kind: "number", text: number };
        return { kind: "word", text: (number ?? "") + this.rest(CUT_SHORT), cut: true };
    }

    string() {
        const whole = this.skip(STRING);
        if (whole !== null) return { kind: "string", value: JSON.parse(whole) };
        const left = this.rest(/^"[^"\u0000-\u001f]*|^"(?:[^"\\]|\\.)*\\?$/);
        const readable = left.slice(1).replace(/\\(?:u[0-9a-fA-F]{0,3})?$/, "");
        try {
            return { kind: "string", value: JSON.parse(`"${readable}"`), cut: true };
        } catch {
            throw new NotJson();
        }
    }

    array(depth) {
        const node = { kind: "array", items: [] };
        this.at++;
        if (this.next() === "]") return this.closed(node);
        for (;;) {
            const item = this.value(depth + 1);
            if (item) node.items.push(item);
            if (!this.goesOn("]")) return this.closed(node);
        }
    }

    object(depth) {
        const node = { kind: "object", entries: [] };
        this.at++;
        if (this.next() === "}") return this.closed(node);
        for (;;) {
            const first = this.next();
            if (first === null) return this.closed(node);
            if (first !== '"') throw new NotJson();
            const name = this.string();
            if (this.next() === null) return this.closed(node);
            if (this.text[this.at++] !== ":") throw new NotJson();
            const value = this.value(depth + 1);
            if (value) node.entries.push([name.value, value]);
            if (!this.goesOn("}")) return this.closed(node);
        }
    }

    /** Whether a comma follows (and is taken) rather than the closing bracket or the end. */
    goesOn(closing) {
        const next = this.next();
        if (next === null || next === closing) return false;
        if (next !== ",") throw new NotJson();
        this.at++;
        return true;
    }

    closed(node) {
        if (this.at < this.text.length) this.at++;
        else node.cut = true;
        return node;
    }
}

/** A node as text, a value a line, names in their order: what two bodies are compared by. */
export function jsonLines(node) {
    const lines = [];
    const write = (value, before, after, indent) => {
        const [open, close, parts] =
            value.kind === "object"
                ? ["{", "}", value.entries]
                : value.kind === "array"
                    ? ["[", "]", value.items.map((item) => [null, item])]
                    : [null, null, null];
        if (parts === null) lines.push(indent + before + scalar(value) + after);
        else if (parts.length === 0) lines.push(indent + before + open + close + after);
        else {
            lines.push(indent + before + open);
            parts.forEach(([name, part], n) =>
                write(
                    part,
                    name === null ? "" : `${JSON.stringify(name)}: `,
                    n < parts.length - 1 ? "," : "",
                    `${indent}  `,
                ),
            );
            lines.push(indent + close + after);
        }
    };
    write(node, "", "", "");
    return lines;
}

/** A string, number or word as JSON writes it. */
export function scalar(node) {
    return node.kind === "string" ? JSON.stringify(node.value) : node.text;
}
