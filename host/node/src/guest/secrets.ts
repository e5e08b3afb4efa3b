// What the component is told in confidence, kept out of every text that leaves its thread: the options whose names say so, and
// what goes into an authorization header. Its errors are its own words, so it could put either into them.
import type { OptionValues } from '../protocol.js';

const HIDDEN = '[secret]';
/** Shorter ones would be found in innocent words. */
const SHORTEST = 6;
/** Tokens are renewed; so many of the latest are known. */
const KEPT = 32;

export class Secrets {
  readonly #options = new Set<string>();
  #tokens: string[] = [];

  learnOptions(values: OptionValues): void {
    for (const [name, value] of values) {
      const secret = /secret|password|passphrase|token/.test(name) && !/_(uri|url)$/.test(name);
      if (secret && value.trim().length >= SHORTEST) this.#options.add(value.trim());
    }
  }

  learnHeader(value: string): void {
    const credentials = value.replace(/^\S+ /, '').trim();
    if (credentials.length >= SHORTEST && !this.#tokens.includes(credentials)) this.#tokens = [...this.#tokens, credentials].slice(-KEPT);
  }

  hidden(text: string): string {
    let clean = text;
    for (const secret of [...this.#options, ...this.#tokens]) clean = clean.replaceAll(secret, HIDDEN);
    return clean;
  }
}
