// TLS: whose certificates a session trusts, and that nothing is said to a server whose name is not proved.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import * as https from 'node:https';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { Session } from 'aiida-firecrest-wasm';
import { localFolder, refusal, startSimulator } from './simulator.mjs';

/** @type {import('./simulator.mjs').Simulator} */ let simulator;
const folder = localFolder();

before(async () => {
  simulator = await startSimulator();
});

/**
 * A server that speaks TLS before the simulator, with a certificate of its own for a name; it ends with this process.
 * @param {string} name
 */
async function secured(name) {
  const [key, certificate] = [join(folder, `${name}.key`), join(folder, `${name}.pem`)];
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, '-keyout', key, '-out', certificate,
  ], { stdio: 'pipe' });
  let requests = 0;
  const server = https.createServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (request, response) => {
    requests += 1;
    const { method, headers, url } = request;
    const behind = url === simulator.tokenPath ? simulator.tokenOrigin : simulator.origin;
    const passed = http.request(new URL(url ?? '/', behind), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    request.pipe(passed);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', () => listening(undefined)));
  server.unref();
  const address = /** @type {import('node:net').AddressInfo} */ (server.address());
  const origin = `https://localhost:${address.port}`;
  const config = { ...simulator.config };
  for (const option of ['url', 'token_uri']) config[option] = origin + new URL(config[option]).pathname;
  return { origin, certificate, config, requests: () => requests };
}

test('a server is trusted by the certificate that a session is given, and no other session trusts it', async () => {
  const { config, certificate, origin, requests } = await secured('localhost');
  const stranger = await refusal(Session.open(config));
  assert.equal(stranger.kind, 'unavailable');
  assert.match(stranger.message, /certificate/i);
  assert.match(stranger.message, new RegExp(origin));
  assert.equal(requests(), 0);

  const session = await Session.open(config, { caFiles: [certificate] });
  await session.write(`${config.workdir}/over-tls`, 'x');
  assert.equal(Buffer.from(await session.read(`${config.workdir}/over-tls`)).toString(), 'x');
  await session.remove(`${config.workdir}/over-tls`);
  // Large files do not fall back to the store, which speaks without TLS here, unless somebody allows it.
  writeFileSync(join(folder, 'large'), Buffer.alloc(6 << 20));
  const large = await refusal(session.put(join(folder, 'large'), `${config.workdir}/large`));
  assert.equal(large.kind, 'permission-denied');
  await session.close();
  assert.equal((await refusal(Session.open(config))).kind, 'unavailable');
});

test('a trusted certificate for another name is none', async () => {
  const { config, certificate, requests } = await secured('elsewhere.example');
  const error = await refusal(Session.open(config, { caFiles: [certificate] }));
  assert.equal(error.kind, 'unavailable');
  assert.match(error.message, /certificate/i);
  assert.equal(requests(), 0);
});

test('a file of certificates that is none is named', async () => {
  const { config } = await secured('localhost');
  const missing = join(folder, 'none.pem');
  const error = await refusal(Session.open(config, { caFiles: [missing] }));
  assert.match(error.message, /none\.pem/);
});
