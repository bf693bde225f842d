/* Calls of the JSON API, the same that programs use. The session's cookie goes with them. */

/** A call that did not succeed; `message` is a sentence for people. */
export class ApiError extends Error {
    /**
     * @param {number} status of the answer; 0 where none came.
     * @param {string} message what is wrong.
     * @param {number} wait seconds to wait before the next try; 0 if none are asked for.
     */
    constructor(status, message, wait = 0) {
        super(message);
        this.status = status;
        this.wait = wait;
    }
}

/** Told of each answer 401: the session is over. */
export const onSignedOut = new Set();

/**
 * Make a call.
 *
 * @param {string} method like "GET".
 * @param {string} path like "/api/tunnels".
 * @param {object} body is sent as JSON; none if undefined.
 * @returns what is in `data`.
 * @throws {ApiError} it did not succeed.
 */
export async function call(method, path, body) {
    const options = { method, headers: { Accept: "application/json" }, cache: "no-store" };
    if (body !== undefined) {
        options.headers["Content-Type"] = "application/json";
        options.body = JSON.stringify(body);
    }
    let answer;
    let content;
    try {
        answer = await fetch(path, options);
        content = answer.status === 204 ? {} : await answer.json();
    } catch {
        throw new ApiError(answer?.status ?? 0, "The server does not answer.");
    }
    if (answer.ok) return content.data;
    if (answer.status === 401 && path !== "/api/session") {
        for (const told of onSignedOut) told();
    }
    const wait = Number(answer.headers.get("Retry-After")) || 0;
    throw new ApiError(answer.status, sentence(content.detail || content.error), wait);
}

/** A path from its parts, each escaped. */
export function path(...parts) {
    return `/${parts.map(encodeURIComponent).join("/")}`;
}

function sentence(text) {
    const plain = String(text ?? "It did not work").trim();
    return /[.!?]$/.test(plain) ? plain : `${plain}.`;
}
