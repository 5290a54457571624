/**
 * What a browser remembers for this page: preferences, none of which it needs. A browser may forbid it, be full, or hold
 * what something else wrote, so that nothing here throws: what cannot be kept is not there after a reload.
 */

const fallback = new Map(); // what this page has kept where the browser does not

function attempt(act) {
  try {
    return act();
  } catch {
    return undefined; // SecurityError, QuotaExceededError
  }
}

/** What was kept as `key`, null for nothing. @param {string} key @param {'localStorage'|'sessionStorage'} [where] */
export function recall(key, where = 'localStorage') {
  return fallback.get(key) ?? attempt(() => window[where].getItem(key)) ?? null;
}

/** Keep `value` as `key`; null forgets it. */
export function keep(key, value, where = 'localStorage') {
  fallback.delete(key);
  const kept = attempt(() => {
    if (value === null) window[where].removeItem(key);
    else window[where].setItem(key, value);
    return true;
  });
  if (!kept && value !== null) fallback.set(key, String(value));
}
