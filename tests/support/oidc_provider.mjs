// Issuers for test_oidc_provider.py: a line of JSON names a function and its argument, a line tells the result.

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import Provider from "oidc-provider";

console.info = console.error; // standard output is for results
const KINDS = { RS256: "rsa", PS256: "rsa", ES256: "ec", EdDSA: "ed25519" };
const issuers = new Map();

function key(alg) {
  const { privateKey } = generateKeyPairSync(KINDS[alg], { modulusLength: 2048, namedCurve: "P-256" });
  return { ...privateKey.export({ format: "jwk" }), alg, use: "sig", kid: randomUUID() };
}

function provider({ issuer, client, method, alg, more = {} }) {
  return new Provider(issuer, {
    clients: [{ token_endpoint_auth_method: method, id_token_signed_response_alg: alg, ...client }],
    clientAuthMethods: [method],
    jwks: { keys: [key(alg)] },
    cookies: { keys: ["a key of this test"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} 홍`, preferred_username: id, email: `${id}@example.org`, email_verified: true }),
    }),
    features: { backchannelLogout: { enabled: true } },
    ...more,
  });
}

const functions = {
  // An issuer that nobody is registered with yet, on a port of its own.
  async listen() {
    const server = createServer((request, response) => issuers.get(issuer)(request, response));
    await new Promise((done) => server.listen(0, "127.0.0.1", done));
    const issuer = `http://127.0.0.1:${server.address().port}`;
    return issuer;
  },

  // The issuer as it is from here on, with one client and a new key: called again, it is the issuer after a change.
  serve(params) {
    issuers.set(params.issuer, provider(params).callback());
    return params.issuer;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { name, params } = JSON.parse(line);
  console.log(JSON.stringify(await functions[name](params)));
}
process.exit();
