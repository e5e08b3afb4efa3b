import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { inspect } from 'node:util';
import { FirecrestError, invalid } from './errors.js';
import { localError } from './policy.js';
import type { OptionValues } from './protocol.js';

/** Names and values as configuration files have them: `url`, `token_uri`, `client_id`, `client_secret`, `compute_resource`, … */
export type OptionsLike = Options | Record<string, string | number | boolean | null | undefined | object>;

const ENVIRONMENT_PREFIX = 'AIIDA_FIRECREST_';

/**
 * The options of a session. Printing them, with `console.log`, `JSON.stringify` or in a template, shows their names alone: a value may
 * be a secret.
 */
export class Options {
  readonly #values = new Map<string, string>();

  /**
   * Numbers and booleans become text; lists, objects, null and undefined are left out. Names that the component does not know are kept
   * and ignored. `client_secret` may be the absolute path (or `~/…`) of a file that holds the secret.
   */
  constructor(values: OptionsLike = {}) {
    this.#add(values);
  }

  /** Reads a configuration file: a JSON object, as aiida-firecrest has it. */
  static fromFile(path: string): Options {
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (error) {
      throw localError(path, error);
    }
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      // Not with the parser's words: they quote the text, which may be a secret.
      throw invalid(path, 'it is no JSON');
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw invalid(path, 'it is no JSON object');
    return new Options(parsed as OptionsLike);
  }

  /** The variables `AIIDA_FIRECREST_URL`, `AIIDA_FIRECREST_CLIENT_SECRET`, … */
  static fromEnvironment(variables: Record<string, string | undefined> = process.env): Options {
    const options = new Options();
    for (const [name, value] of Object.entries(variables)) {
      const isOption = name.startsWith(ENVIRONMENT_PREFIX) && name !== `${ENVIRONMENT_PREFIX}CONFIG` && name !== `${ENVIRONMENT_PREFIX}WASM`;
      if (isOption && value !== undefined) options.#values.set(name.slice(ENVIRONMENT_PREFIX.length).toLowerCase(), value);
    }
    return options;
  }

  /** The same with more; of two values the given one wins. */
  with(values: OptionsLike): Options {
    const copy = new Options(this);
    copy.#add(values);
    return copy;
  }

  /** The names that have a value. */
  get names(): string[] {
    return [...this.#values.keys()];
  }

  #add(values: OptionsLike): void {
    if (typeof values !== 'object' || values === null) throw invalid('options', 'they are an object of names and values');
    if (values instanceof Options) {
      for (const [name, value] of values.#values) this.#values.set(name, value);
      return;
    }
    for (const [name, value] of Object.entries(values)) {
      if (['string', 'number', 'boolean'].includes(typeof value)) this.#values.set(name, String(value));
    }
  }

  /** @internal What the component is told. */
  static pairs(options: OptionsLike): OptionValues {
    const pairs = [...new Options(options).#values].sort(([a], [b]) => (a < b ? -1 : 1));
    return pairs.map(([name, value]) => [name, name === 'client_secret' ? secret(value) : value]);
  }

  toJSON(): string[] {
    return this.names;
  }

  [inspect.custom](): string {
    return `Options { ${this.names.join(', ')} }`;
  }
}

/** A secret, or what the file that it names holds. */
function secret(value: string): string {
  const path = value.startsWith('~/') ? join(homedir(), value.slice(2)) : value;
  // A secret is hardly ever the name of a file in the working directory; a path with a slash is what people write.
  if (!isAbsolute(path) || !statSync(path, { throwIfNoEntry: false })?.isFile()) return value;
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new FirecrestError(`client_secret: the file that it names cannot be read: ${(error as NodeJS.ErrnoException).code}`, {
      kind: 'invalid-argument',
      subject: 'client_secret',
    });
  }
}
