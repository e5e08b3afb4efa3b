// The requests' thread: one for all sessions, so that they share its connections. It never blocks, and no user code runs in it.
import { parentPort } from 'node:worker_threads';
import type { Attach, ToIo } from '../protocol.js';
import { Exchange, type Reply } from './exchange.js';

parentPort!.on('message', ({ port, shared }: Attach) => {
  const counter = new Int32Array(shared);
  const exchanges = new Map<number, Exchange>();
  const reply: Reply = (message, transfer = []) => {
    if (message.type === 'end' || message.type === 'failed') exchanges.delete(message.id);
    port.postMessage(message, transfer);
    Atomics.add(counter, 0, 1);
    Atomics.notify(counter, 0);
  };
  port.on('message', (message: ToIo) => {
    if (message.type === 'request') exchanges.set(message.id, new Exchange(message.id, message.request, reply));
    else exchanges.get(message.id)?.handle(message);
    if (message.type === 'abort') exchanges.delete(message.id);
  });
  // The session is over: its requests are, too. Its connections stay for others.
  port.on('close', () => {
    for (const exchange of exchanges.values()) exchange.abort();
    exchanges.clear();
  });
});
