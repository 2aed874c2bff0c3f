// dashboard/dom.js -- elements from plain calls: el('td.name', {title: 'x'}, 'text', child …).  Text is always text, never markup.

export function el(spec, ...rest) {
  const [tag, ...classes] = spec.split('.');
  const node = document.createElement(tag || 'div');
  if (classes.length) node.className = classes.join(' ');
  for (const part of rest.flat(3)) {
    if (part === null || part === undefined || part === false) continue;
    if (part instanceof Node) node.append(part);
    else if (typeof part === 'object') {
      for (const [k, v] of Object.entries(part)) {
        if (k.startsWith('on')) node.addEventListener(k.slice(2), v);
        else if (v === true) node.setAttribute(k, '');
        else if (v !== false && v !== null && v !== undefined) node.setAttribute(k, v);
      }
    } else node.append(String(part));
  }
  return node;
}

export const replace = (node, ...children) => node.replaceChildren(...children.flat(3).filter(Boolean));

export function toast(text, kind = 'error') {
  const box = el(`div.toast.${kind}`, { role: 'status' }, text);
  document.body.append(box);
  setTimeout(() => box.remove(), 7000);
}

export function dialog(title, content, submit, label = 'Create') {
  const error = el('p.error');
  const form = el('form', { method: 'dialog' }, el('h2', title), content, error,
    el('div.buttons', el('button.plain', { type: 'button', onclick: () => box.close() }, 'Close'), submit && el('button', { type: 'submit' }, label)));
  const box = el('dialog', form);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    try {
      await submit(Object.fromEntries(new FormData(form)));
      box.close();
    } catch (e) { replace(error, e.message, e.cause && el('details', el('summary', 'Details'), e.cause.message)); }
  });
  box.addEventListener('close', () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

// A name may have 255 characters: what does not fit is in its title.
export const named = (text) => el('span.name', { title: text }, text);
export const field = (label, input) => el('label', el('span', label), input);
export const select = (name, rows, { value = (r) => r.id, text = (r) => r.name, none, chosen } = {}) =>
  el('select', { name }, none && el('option', { value: '' }, none),
    rows.map((r) => el('option', { value: value(r), selected: value(r) === chosen }, text(r))));
