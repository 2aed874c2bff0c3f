// dashboard/api.js -- the REST API as the page uses it: the same calls any OpenStack client makes, nothing private.

let token = sessionStorage.getItem('token');
let who = JSON.parse(sessionStorage.getItem('who') || 'null');

export const signedIn = () => Boolean(token);
export const account = () => who;

export async function call(method, path, body) {
  const headers = { 'Content-Type': 'application/json', 'OpenStack-API-Version': 'compute 2.93' };
  if (token) headers['X-Auth-Token'] = token;
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* not JSON: the status says enough */ }
  if (answer.status === 401 && token) signOut();
  if (!answer.ok) throw Object.assign(new Error(message(json) || `${answer.status} ${answer.statusText}`), { status: answer.status });
  return { json, headers: answer.headers };
}

// Every service wraps its message in an object of another name.
function message(json) {
  if (!json) return '';
  if (typeof json.message === 'string') return json.message;
  const inner = Object.values(json)[0];
  return inner && inner.message;
}

export async function signIn(name, password, project) {
  token = null;
  const scope = project ? { project: { name: project, domain: { id: 'default' } } } : undefined;
  const { json, headers } = await call('POST', '/identity/v3/auth/tokens', {
    auth: { identity: { methods: ['password'], password: { user: { name, password, domain: { id: 'default' } } } }, scope },
  });
  token = headers.get('X-Subject-Token');
  who = { user: json.token.user.name, project: json.token.project?.name || '', roles: (json.token.roles || []).map((r) => r.name) };
  sessionStorage.setItem('token', token);
  sessionStorage.setItem('who', JSON.stringify(who));
}

export function signOut() {
  if (token) fetch('/identity/v3/auth/tokens', { method: 'DELETE', headers: { 'X-Auth-Token': token, 'X-Subject-Token': token } });
  token = who = null;
  sessionStorage.clear();
  window.dispatchEvent(new Event('signed-out'));
}

const list = (path, key) => async () => (await call('GET', path)).json[key];
export const servers = list('/compute/v2.1/servers/detail', 'servers');
export const flavors = list('/compute/v2.1/flavors/detail', 'flavors');
export const keypairs = async () => (await list('/compute/v2.1/os-keypairs', 'keypairs')()).map((k) => k.keypair);
export const images = list('/image/v2/images', 'images');
export const networks = list('/network/v2.0/networks', 'networks');
export const subnets = list('/network/v2.0/subnets', 'subnets');
export const routers = list('/network/v2.0/routers?fields=id&fields=name', 'routers');
export const ports = (network) => list(
  `/network/v2.0/ports?network_id=${network}&fields=name&fields=device_owner&fields=device_id&fields=fixed_ips`, 'ports')();
export const groups = list('/network/v2.0/security-groups', 'security_groups');
export const limits = async () => (await call('GET', '/compute/v2.1/limits')).json.limits.absolute;
export const action = (id, body) => call('POST', `/compute/v2.1/servers/${id}/action`, body);
export const consoleLog = async (id) => (await action(id, { 'os-getConsoleOutput': { length: 400 } })).json.output;
