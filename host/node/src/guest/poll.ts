// Waiting, in a thread that cannot run an event loop while the component runs: messages are taken from the ports by hand, and
// between two looks the thread sleeps on a counter in shared memory that every sender raises.
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import { WAKE } from '../protocol.js';

/** Woken at least so often: a lost wake-up would otherwise be for ever. */
const LONGEST_SLEEP_MS = 30_000;

/** What arrives while the component runs. */
export class Inbox {
  readonly #shared: Int32Array;
  readonly #ports: { port: MessagePort; handle: (message: never) => void }[] = [];

  constructor(shared: SharedArrayBuffer) {
    this.#shared = new Int32Array(shared);
  }

  listen<M>(port: MessagePort, handle: (message: M) => void): void {
    this.#ports.push({ port, handle: handle as (message: never) => void });
  }

  /** Takes what has arrived. */
  drain(): void {
    for (const { port, handle } of this.#ports) {
      for (let taken = receiveMessageOnPort(port); taken; taken = receiveMessageOnPort(port)) handle(taken.message as never);
    }
  }

  /** Which of these are ready; waits until one is. */
  poll(list: readonly Pollable[]): number[] {
    for (;;) {
      // Read before looking: what arrives after the look wakes us at once.
      const seen = Atomics.load(this.#shared, WAKE);
      this.drain();
      const ready = list.flatMap((pollable, index) => (pollable.ready() ? [index] : []));
      if (ready.length > 0) return ready;
      const until = Math.min(LONGEST_SLEEP_MS, ...list.map((pollable) => pollable.millisecondsLeft()));
      Atomics.wait(this.#shared, WAKE, seen, Math.max(until, 0));
    }
  }
}

let inbox: Inbox;

export function useInbox(used: Inbox): void {
  inbox = used;
}

export function inboxDrain(): void {
  inbox.drain();
}

/** Something to wait for. */
export class Pollable {
  /** @param isReady looks at what has arrived; @param deadline of a timer, on the monotonic clock. */
  constructor(
    private readonly isReady: () => boolean,
    private readonly deadline?: bigint,
  ) {}

  ready(): boolean {
    return this.isReady();
  }

  block(): void {
    inbox.poll([this]);
  }

  millisecondsLeft(): number {
    return this.deadline === undefined ? Infinity : Number(this.deadline - process.hrtime.bigint()) / 1e6;
  }
}

export const pollInterface = {
  Pollable,
  poll(list: Pollable[]): Uint32Array {
    if (list.length === 0) throw new Error('poll of nothing');
    return Uint32Array.from(inbox.poll(list));
  },
};

export const monotonicClock = {
  now: (): bigint => process.hrtime.bigint(),
  subscribeDuration(duration: bigint): Pollable {
    const until = process.hrtime.bigint() + duration;
    return new Pollable(() => process.hrtime.bigint() >= until, until);
  },
};

export const wallClock = {
  now(): { seconds: bigint; nanoseconds: number } {
    const now = Date.now();
    return { seconds: BigInt(Math.floor(now / 1000)), nanoseconds: (now % 1000) * 1_000_000 };
  },
};
