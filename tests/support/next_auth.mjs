// next-auth/jwt for test_next_auth.py: a line of JSON names a function and its argument, a line tells the result.

import { createInterface } from "node:readline";

import jwt from "next-auth/jwt";

for await (const line of createInterface({ input: process.stdin })) {
  const { name, params } = JSON.parse(line);
  console.log(JSON.stringify(await jwt[name](params)));
}
