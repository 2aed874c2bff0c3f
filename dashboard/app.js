// dashboard/app.js -- the pages: sign in, servers, networks, images, key pairs.
import * as api from './api.js';
import { dialog, el, field, named, replace, select, toast } from './dom.js';

const app = document.getElementById('app');
const GiB = 2 ** 30;
const size = (n) => (n == null ? '–' : n >= GiB ? `${(n / GiB).toFixed(1)} GiB` : `${(n / 2 ** 20).toFixed(1)} MiB`);
const when = (t) => (t ? new Date(t.endsWith('Z') ? t : `${t}Z`).toLocaleString() : '');
const short = (text = '') => (text.length > 40 ? `${text.slice(0, 39)}…` : text);
const state = (s) => el(`span.state.${String(s).toLowerCase()}`, s);
const addresses = (s) => Object.values(s.addresses || {}).flat().map((a) => a.addr).join(', ');

async function guarded(work) {
  try { await work(); } catch (e) { toast(e.message); }
  refresh();
}

// A page: title, what it loads, its columns [head, cell], buttons of a row [label, when, do], and what "new" does.
const pages = {
  servers: {
    title: 'Servers', load: api.servers, create: newServer,
    columns: [['Name', (s) => el('strong', named(s.name))], ['Status', (s) => state(s['OS-EXT-STS:task_state'] ? `${s.status}` : s.status)],
      ['Addresses', (s) => el('code', addresses(s))], ['Flavor', (s) => s.flavor.original_name], ['Created', (s) => when(s.created)],
      ['', (s) => s.fault && el('span.fault', s.fault.message)]],
    actions: [
      ['Console', () => true, (s) => showConsole(s)],
      ['Start', (s) => s.status === 'SHUTOFF', (s) => guarded(() => api.action(s.id, { 'os-start': null }))],
      ['Stop', (s) => s.status === 'ACTIVE', (s) => guarded(() => api.action(s.id, { 'os-stop': null }))],
      ['Reboot', (s) => s.status === 'ACTIVE', (s) => guarded(() => api.action(s.id, { reboot: { type: 'SOFT' } }))],
      ['Delete', () => true, (s) => sure(['Delete server ', named(s.name), '? Its disk goes with it.'],
        () => api.call('DELETE', `/compute/v2.1/servers/${s.id}`))],
    ],
  },
  networks: {
    title: 'Networks', load: async () => {
      const [nets, subs] = await Promise.all([api.networks(), api.subnets()]);
      return nets.map((n) => ({ ...n, cidrs: subs.filter((s) => s.network_id === n.id).map((s) => s.cidr) }));
    },
    create: newNetwork,
    columns: [['Name', (n) => el('strong', named(n.name))], ['Status', (n) => state(n.status)], ['Subnets', (n) => el('code', n.cidrs.join(', '))],
      ['', (n) => [n.shared && el('span.tag', 'shared'), n['router:external'] && el('span.tag', 'external')]]],
    actions: [['Delete', (n) => !n.shared, (n) => sure(['Delete network ', named(n.name), '?'], () => deleteNetwork(n))]],
  },
  images: {
    title: 'Images', load: api.images,
    columns: [['Name', (i) => el('strong', named(i.name || i.id))], ['Status', (i) => state(i.status)], ['Format', (i) => i.disk_format || '–'],
      ['Size', (i) => size(i.size)], ['Disk', (i) => size(i.virtual_size)], ['Visibility', (i) => i.visibility]],
    actions: [['Delete', (i) => i.visibility !== 'public',
      (i) => sure(['Delete image ', named(i.name || i.id), '?'], () => api.call('DELETE', `/image/v2/images/${i.id}`))]],
  },
  keys: {
    title: 'Key pairs', load: api.keypairs, create: newKey,
    columns: [['Name', (k) => el('strong', named(k.name))], ['Type', (k) => k.type], ['Fingerprint', (k) => el('code', k.fingerprint)]],
    actions: [['Delete', () => true,
      (k) => sure(['Delete key pair ', named(k.name), '?'], () => api.call('DELETE', `/compute/v2.1/os-keypairs/${encodeURIComponent(k.name)}`))]],
  },
};

let current = 'servers';
let timer = null;
let body = null;
let meters = null;

function sure(question, work) {
  const box = dialog('Are you sure?', el('p', question), async () => {
    try { await work(); } catch (e) { box.querySelector('[type=submit]').remove(); throw e; }
    refresh();
  }, 'Delete');
}

// Whose a port is, in the words of this page, which shows no ports.
function holder(port, servers, routers) {
  const { device_owner: owner, device_id: id } = port, address = port.fixed_ips.map((f) => f.ip_address).join(', ');
  for (const [prefix, kind, rows] of [['compute:', 'server', servers], ['network:router', 'router', routers]]) {
    if (!owner.startsWith(prefix)) continue;
    const row = rows.find((r) => r.id === id);
    return `${kind} ${row ? short(row.name) || address : `of another project (${address})`}`;
  }
  return `${owner === 'network:floatingip' ? 'floating IP' : 'port'} ${short(port.name) || address || 'without an address'}`;
}

async function deleteNetwork(net) {
  try {
    await api.call('DELETE', `/network/v2.0/networks/${net.id}`);
  } catch (e) {
    if (e.status !== 409) throw e;
    const [ports, servers, routers] = await Promise.all([api.ports(net.id), api.servers(), api.routers()]);
    const holders = ports.filter((p) => p.device_owner !== 'network:dhcp').map((p) => holder(p, servers, routers));
    throw holders.length ? new Error(`In use by ${[...new Set(holders)].sort().join(', ')}.`, { cause: e }) : e;
  }
}

async function newServer() {
  const [flavors, images, networks, keys, groups] = await Promise.all([api.flavors(), api.images(), api.networks(), api.keypairs(), api.groups()]);
  dialog('New server', [
    field('Name', el('input', { name: 'name', required: true, autofocus: true, maxlength: 255 })),
    field('Image', select('image', images.filter((i) => i.status === 'active'))),
    field('Flavor', select('flavor', flavors, { text: (f) => `${f.name} – ${f.vcpus} vCPU, ${f.ram} MiB, ${f.disk} GiB` })),
    field('Network', select('network', networks)),
    field('Key pair', select('key', keys, { value: (k) => k.name, none: 'none', chosen: keys.length === 1 ? keys[0].name : '' })),
    field('Security group', select('group', groups, { value: (g) => g.name, chosen: 'default' })),
    field('User data', el('textarea', { name: 'data', rows: 3, placeholder: '#!/bin/sh' })),
  ], async (v) => {
    const server = { name: v.name, imageRef: v.image, flavorRef: v.flavor, networks: [{ uuid: v.network }], security_groups: [{ name: v.group }] };
    if (v.key) server.key_name = v.key;
    if (v.data) server.user_data = btoa(String.fromCharCode(...new TextEncoder().encode(v.data)));
    await api.call('POST', '/compute/v2.1/servers', { server });
    refresh();
  });
}

function newNetwork() {
  dialog('New network', [
    field('Name', el('input', { name: 'name', required: true, autofocus: true })),
    field('Subnet', el('input', { name: 'cidr', value: '10.0.0.0/24', required: true })),
  ], async (v) => {
    const { json } = await api.call('POST', '/network/v2.0/networks', { network: { name: v.name } });
    try {
      await api.call('POST', '/network/v2.0/subnets', { subnet: { network_id: json.network.id, ip_version: v.cidr.includes(':') ? 6 : 4, cidr: v.cidr } });
    } catch (e) {
      await api.call('DELETE', `/network/v2.0/networks/${json.network.id}`);
      throw e;
    }
    refresh();
  });
}

function newKey() {
  dialog('New key pair', [
    field('Name', el('input', { name: 'name', required: true, autofocus: true })),
    field('Public key', el('textarea', { name: 'key', rows: 4, required: true, placeholder: 'ssh-ed25519 AAAA…' })),
  ], async (v) => {
    await api.call('POST', '/compute/v2.1/os-keypairs', { keypair: { name: v.name, type: 'ssh', public_key: v.key.trim() } });
    refresh();
  }, 'Import');
}

function showConsole(server) {
  const pre = el('pre.console', 'Loading…');
  const load = async () => {
    try {
      const end = pre.scrollHeight - pre.scrollTop - pre.clientHeight < 20;
      pre.textContent = await api.consoleLog(server.id) || '(nothing yet)';
      if (end) pre.scrollTop = pre.scrollHeight;
    } catch (e) { pre.textContent = e.message; }
  };
  const box = dialog(['Console of ', named(server.name)], pre);
  const tick = setInterval(load, 2000);
  box.classList.add('wide');
  box.addEventListener('close', () => clearInterval(tick));
  load();
}

function table(page, rows) {
  if (!rows.length) return el('p.empty', `No ${page.title.toLowerCase()} yet.`);
  return el('table', el('thead', el('tr', page.columns.map(([head]) => el('th', head)), el('th'))),
    el('tbody', rows.map((row) => el('tr', page.columns.map(([head, cell]) => el('td', { 'data-head': head }, cell(row))),
      el('td.actions', page.actions.filter(([, fits]) => fits(row)).map(([label, , act]) => el('button.small', { onclick: () => act(row) }, label)))))));
}

function meter(label, used, max, unit = '') {
  const share = max > 0 ? Math.min(1, used / max) : 0;
  return el('div.meter', el('span', `${label} ${used}${max < 0 ? '' : ` of ${max}`}${unit}`), el('progress', { value: share, max: 1 }));
}

async function refresh() {
  const page = pages[current];
  try {
    const [rows, l] = await Promise.all([page.load(), api.limits()]);
    if (pages[current] !== page || !body) return;
    replace(body, table(page, rows));
    replace(meters, meter('Servers', l.totalInstancesUsed, l.maxTotalInstances), meter('vCPUs', l.totalCoresUsed, l.maxTotalCores),
      meter('Memory', l.totalRAMUsed, l.maxTotalRAMSize, ' MiB'));
  } catch (e) { if (api.signedIn()) toast(e.message); }
}

function open(name) {
  current = name;
  location.hash = name;
  shell();
}

function shell() {
  const me = api.account(), page = pages[current];
  body = el('section', el('p.empty', 'Loading…'));
  meters = el('div.meters');
  replace(app,
    el('header', el('img', { src: 'logo.svg', alt: '' }), el('h1', 'Nuvolet'),
      el('nav', Object.entries(pages).map(([name, p]) => el(`a${name === current ? '.on' : ''}`, { href: `#${name}`, onclick: () => open(name) }, p.title))),
      el('span.who', `${me.user} · ${me.project}`), el('button.plain', { onclick: api.signOut }, 'Sign out')),
    el('main', meters, el('div.bar', el('h2', page.title), page.create && el('button', { onclick: page.create }, 'New')), body));
  clearInterval(timer);
  timer = setInterval(() => document.visibilityState === 'visible' && refresh(), 3000);
  refresh();
}

function signInPage() {
  clearInterval(timer);
  body = null;
  const error = el('p.error');
  const form = el('form.sign-in', el('img', { src: 'logo.svg', alt: '' }), el('h1', 'Nuvolet'),
    field('User', el('input', { name: 'user', value: 'demo', autocomplete: 'username', required: true })),
    field('Password', el('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true, autofocus: true })),
    field('Project', el('input', { name: 'project', value: 'demo', required: true })), error, el('button', { type: 'submit' }, 'Sign in'));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const v = Object.fromEntries(new FormData(form));
    try {
      await api.signIn(v.user, v.password, v.project);
      shell();
    } catch (e) { error.textContent = e.status === 401 ? 'Wrong user, password or project.' : e.message; }
  });
  replace(app, form);
}

window.addEventListener('signed-out', signInPage);
window.addEventListener('hashchange', () => { const name = location.hash.slice(1); if (api.signedIn() && pages[name] && name !== current) open(name); });
if (pages[location.hash.slice(1)]) current = location.hash.slice(1);
if (api.signedIn()) shell(); else signInPage();
