/**
 * The token of a stage that asks for one: from the address's fragment, which no server and no log ever sees, from this
 * tab's memory, or typed in.
 */

import { keep, recall } from './remember.js';

const REMEMBERED = 'clavilux.token';

function element(id) {
  return document.getElementById(id);
}

/** The token, as soon as there is one. */
export async function askToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    keep(REMEMBERED, given, 'sessionStorage');
    history.replaceState(null, '', location.pathname + location.search);
  }
  return recall(REMEMBERED, 'sessionStorage') ?? typedToken();
}

/** Forget a token that was wrong. */
export function forgetToken() {
  keep(REMEMBERED, null, 'sessionStorage');
}

function typedToken() {
  const form = element('token');
  form.hidden = false;
  element('token-text').focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      form.hidden = true;
      keep(REMEMBERED, element('token-text').value, 'sessionStorage');
      resolve(element('token-text').value);
    };
  });
}
