// The part of undici that stk uses: loading the rest, such as fetch and its caches, takes as long as many a command.
import Agent from '../node_modules/undici/lib/dispatcher/agent.js';
import Dispatcher from '../node_modules/undici/lib/dispatcher/dispatcher.js';
import ProxyAgent from '../node_modules/undici/lib/dispatcher/proxy-agent.js';
import api from '../node_modules/undici/lib/api/index.js';

Object.assign(Dispatcher.prototype, api);

/** As undici's own, for a URL and with a dispatcher. */
export function request(url, { dispatcher, method, ...options }) {
  const path = `${url.pathname}${url.search}`;
  return dispatcher.request({ ...options, origin: url.origin, path, method: method ?? 'GET' });
}

export { Agent, ProxyAgent };
