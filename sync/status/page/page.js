(() => {
  'use strict';
  const seconds = Number(document.body.dataset.every);
  if (!seconds) return;
  const stale = document.getElementById('stale');
  const said = document.getElementById('said');
  const headline = (doc) => doc.getElementById('headline').textContent;
  const reading = (part) => {
    const s = getSelection();
    return !s.isCollapsed && part.contains(s.anchorNode);
  };
  const look = async () => {
    try {
      const answer = await fetch(location.origin + location.pathname + location.search, {cache: 'no-store', redirect: 'error'});
      if (!answer.ok) throw new Error('the daemon answers ' + answer.status);
      const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const before = headline(document);
      const focused = document.activeElement;
      for (const part of document.querySelectorAll('[data-live]')) {
        const fresh = next.getElementById(part.id);
        const held = part.contains(focused) && focused !== document.body;
        if (!fresh || reading(part) || (held && !focused.id)) continue;
        for (const d of part.querySelectorAll('details[open]')) {
          const same = d.id && fresh.querySelector('#' + CSS.escape(d.id));
          if (same) same.open = true;
        }
        part.replaceWith(document.adoptNode(fresh));
        if (held) document.getElementById(focused.id)?.focus({preventScroll: true});
      }
      document.title = next.title;
      document.getElementById('icon').href = next.getElementById('icon').href;
      if (headline(document) !== before) said.textContent = headline(document);
      stale.hidden = true;
    } catch (e) {
      if (stale.hidden) {
        stale.textContent = 'Not refreshed since ' + new Date().toLocaleTimeString() + ': ' + (e instanceof TypeError ? 'no answer' : e.message) + '. Asking again every ' + seconds + ' s.';
        stale.hidden = false;
      }
    }
    setTimeout(look, seconds * 1000);
  };
  setTimeout(look, seconds * 1000);
})();
