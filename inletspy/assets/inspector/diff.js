/* What differs between two lists of lines, and between two lines. Pure functions, bounded:
 * what would cost too much to align is shown as replaced as a whole, and says so.
 */

/** Pairs of lines compared at most; past it the middle counts as replaced. */
const MOST_PAIRS = 4_000_000;

/**
 * Align two lists of strings by their longest common subsequence.
 *
 * Returns `{rows, aligned}`: rows are `{kind, left, right}` in order, where kind is "same",
 * "changed", "removed" or "added", and left and right are indices (or null); `aligned` is
 * false where the lists were too long for it.
 */
export function diff(left, right) {
    let start = 0;
    let leftEnd = left.length;
    let rightEnd = right.length;
    while (start < leftEnd && start < rightEnd && left[start] === right[start]) start++;
    while (leftEnd > start && rightEnd > start && left[leftEnd - 1] === right[rightEnd - 1]) {
        leftEnd--;
        rightEnd--;
    }
    const rows = [];
    for (let i = 0; i < start; i++) rows.push({ kind: "same", left: i, right: i });
    const aligned = (leftEnd - start) * (rightEnd - start) <= MOST_PAIRS;
    const pairs = aligned ? common(left, right, start, leftEnd, rightEnd) : [];
    pairs.push([leftEnd, rightEnd]);
    let [a, b] = [start, start];
    for (const [i, j] of pairs) {
        replaced(rows, a, i, b, j);
        if (i < leftEnd) rows.push({ kind: "same", left: i, right: j });
        [a, b] = [i + 1, j + 1];
    }
    for (let i = leftEnd, j = rightEnd; i < left.length; i++, j++) {
        rows.push({ kind: "same", left: i, right: j });
    }
    return { rows, aligned };
}

/** Rows for lines [a, i) on the left, in whose place stand [b, j) on the right. */
function replaced(rows, a, i, b, j) {
    while (a < i && b < j) rows.push({ kind: "changed", left: a++, right: b++ });
    while (a < i) rows.push({ kind: "removed", left: a++, right: null });
    while (b < j) rows.push({ kind: "added", left: null, right: b++ });
}

/** Pairs of indices of a longest common subsequence between the two ends. */
function common(left, right, start, leftEnd, rightEnd) {
    const height = leftEnd - start;
    const width = rightEnd - start;
    const row = width + 1;
    // Numbers in place of lines: comparing them is what the inner loop does.
    const known = new Map();
    const numbered = (lines, end) => {
        const numbers = new Int32Array(end - start);
        for (let i = start; i < end; i++) {
            if (!known.has(lines[i])) known.set(lines[i], known.size);
            numbers[i - start] = known.get(lines[i]);
        }
        return numbers;
    };
    const ours = numbered(left, leftEnd);
    const theirs = numbered(right, rightEnd);
    const lengths = new Uint32Array((height + 1) * row);
    for (let i = height - 1; i >= 0; i--) {
        for (let j = width - 1; j >= 0; j--) {
            const below = lengths[(i + 1) * row + j];
            const beside = lengths[i * row + j + 1];
            lengths[i * row + j] =
                ours[i] === theirs[j] ? lengths[(i + 1) * row + j + 1] + 1 : Math.max(below, beside);
        }
    }
    const pairs = [];
    for (let i = 0, j = 0; i < height && j < width; ) {
        if (ours[i] === theirs[j]) pairs.push([start + i++, start + j++]);
        else if (lengths[(i + 1) * row + j] >= lengths[i * row + j + 1]) i++;
        else j++;
    }
    return pairs;
}

/** What is marked as a whole: words, numbers, and the two halves of a character. */
const IN_WORD = /[\p{L}\p{N}_]|\p{Surrogate}/u;

/** Whether one ends within a word at a place, so that the word goes on in either text. */
function splits(before, ...after) {
    return IN_WORD.test(before ?? "") && after.some((each) => IN_WORD.test(each ?? ""));
}

/**
 * Where two lines differ, word by word: `[before, left, right, after]`, the common
 * beginning, what either has in the middle, and the common end.
 */
export function within(left, right) {
    const most = Math.min(left.length, right.length);
    let start = 0;
    while (start < most && left[start] === right[start]) start++;
    while (start > 0 && splits(left[start - 1], left[start], right[start])) start--;
    let end = 0;
    while (end < most - start && left[left.length - 1 - end] === right[right.length - 1 - end]) end++;
    const at = (text, back) => text[text.length - back];
    while (end > 0 && splits(at(left, end), at(left, end + 1), at(right, end + 1))) end--;
    return [
        left.slice(0, start),
        left.slice(start, left.length - end),
        right.slice(start, right.length - end),
        left.slice(left.length - end),
    ];
}

/**
 * Compare two lists of header fields by name: rows `{kind, name, left, right}` in the order
 * of the left one, then what only the right one has. The values of a name that comes more
 * than once are compared in order.
 */
export function diffFields(left, right) {
    const waiting = new Map();
    for (const [name, value] of right) {
        const key = name.toLowerCase();
        if (!waiting.has(key)) waiting.set(key, []);
        waiting.get(key).push([name, value]);
    }
    const rows = left.map(([name, value]) => {
        const other = waiting.get(name.toLowerCase())?.shift();
        if (!other) return { kind: "removed", name, left: value, right: null };
        return { kind: other[1] === value ? "same" : "changed", name, left: value, right: other[1] };
    });
    for (const rest of waiting.values()) {
        for (const [name, value] of rest) rows.push({ kind: "added", name, left: null, right: value });
    }
    return rows;
}
