package browser

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/gitd"
)

// calm fails if the console has anything to say.
func (b *tab) calm() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, said := range b.wrong {
		b.t.Errorf("the browser says: %s", said)
	}
}

// sideways are the elements that stick out of the screen, but for what is inside of a
// labelled region that scrolls.
const sideways = `(() => {
  const wide = document.documentElement.clientWidth;
  const out = [];
  if (document.documentElement.scrollWidth > wide) out.push('the page: ' + document.documentElement.scrollWidth + ' of ' + wide);
  for (const e of document.body.querySelectorAll('*')) {
    const r = e.getBoundingClientRect();
    if (r.width > 1 && (r.right > wide + 1 || r.left < -1) && !e.closest('[role=region][aria-label]') && getComputedStyle(e).clipPath === 'none' && !e.closest('.hear, .skip, thead')) {
      out.push(e.tagName + ' ' + e.id + ' ' + e.className + ' ' + Math.round(r.left) + '..' + Math.round(r.right));
    }
  }
  return out.slice(0, 10);
})()`

// faint are texts whose contrast with what is behind them is less than WCAG 2.2 asks for.
// Source: https://www.w3.org/TR/WCAG22/#contrast-minimum
const faint = `(() => {
  const parse = (c) => (c.match(/[\d.]+/g) || []).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const out = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n = walk.nextNode(); n; n = walk.nextNode()) {
    const e = n.parentElement;
    if (!n.data.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'OPTION'].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    const a = light(parse(style.color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) out.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2) + ' ' + n.data.trim().slice(0, 30));
  }
  return [...out].slice(0, 10);
})()`

// TestStates opens the page in each of its states, on a desk and on a phone, by day and by
// night: it says what is so, has landmarks and names, keeps to the screen, can be read,
// and the console stays silent.
func TestStates(t *testing.T) {
	c := chrome(t)
	for _, s := range []struct {
		name     string
		of       func(*testing.T) *world
		headline string // a part of it
		level    string
	}{
		{"in sync", inSync, "All 4 mappings are in sync", "good"},
		{"drifting", drifting, "of 14 mappings drift", "bad"},
		{"migrating", migrating, " of 52 mappings are on their way, 4 cannot move", "busy"},
		{"blind", blind, "of 14 mappings cannot be judged", "bad"},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := s.of(t)
			for _, on := range []screen{desktop, phone} {
				for _, scheme := range []string{"light", "dark"} {
					b := open(t, c, w, "/", on, scheme)
					title, err := chromedp.Run(b, chromedp.Title())
					check(t, err)
					headline := eval[string](b, `document.querySelector('h1').textContent`)
					if !strings.Contains(headline, s.headline) || title != headline+" · irsa-lab" {
						t.Errorf("%s: headline %q, title %q; want %q in it", on.Name, headline, title, s.headline)
					}
					if level := eval[string](b, `document.getElementById('head').className`); level != "hero "+s.level {
						t.Errorf("%s: it looks like %q, want %q", on.Name, level, s.level)
					}
					if out := eval[[]string](b, sideways); len(out) > 0 {
						t.Errorf("%s: sticks out: %q", on.Name, out)
					}
					if out := eval[[]string](b, faint); len(out) > 0 {
						t.Errorf("%s, %s: hard to read: %q", on.Name, scheme, out)
					}
					dark := eval[string](b, `getComputedStyle(document.body).backgroundColor`) == "rgb(15, 19, 23)"
					if dark != (scheme == "dark") {
						t.Errorf("%s: the page is dark: %t", scheme, dark)
					}
					b.named()
					eval[bool](b, `document.querySelectorAll('details').forEach((d) => { d.open = true }), true`)
					if out := eval[[]string](b, sideways); len(out) > 0 {
						t.Errorf("%s, with everything open: sticks out: %q", on.Name, out)
					}
					b.calm()
				}
			}
		})
	}
}

// named looks at the page as a screen reader does: landmarks are there, everything that
// can be used has a name, and so have tables; tables stay tables on a phone.
func (b *tab) named() {
	b.t.Helper()
	tree := call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	text := func(v *accessibility.Value) string {
		var s string
		if v != nil {
			_ = json.Unmarshal([]byte(v.Value), &s)
		}
		return s
	}
	count := map[string]int{}
	for _, n := range tree.Nodes {
		if n.Ignored {
			continue
		}
		role, name := text(n.Role), text(n.Name)
		count[role]++
		switch role {
		case "link", "button", "searchbox", "combobox", "table", "navigation", "region", "search", "heading", "DisclosureTriangle", "meter", "columnheader", "rowheader":
			if strings.TrimSpace(name) == "" {
				b.t.Errorf("a %s has no name", role)
			}
		}
	}
	tables := eval[int](b, `document.querySelectorAll('section table:not(details:not([open]) table)').length`)
	for role, want := range map[string]int{"banner": 1, "main": 1, "contentinfo": 1, "search": 1, "searchbox": 1, "combobox": 4, "table": tables} {
		if count[role] != want {
			b.t.Errorf("%d elements are a %s, want %d", count[role], role, want)
		}
	}
	if count["navigation"] == 0 || count["region"] < 8 || count["columnheader"] < 5 || count["row"] < 5 {
		b.t.Errorf("roles: %v", count)
	}
}

// TestFilterInURL: a filter in the URL is obeyed, the form says it, and the form makes it.
func TestFilterInURL(t *testing.T) {
	c, w := chrome(t), drifting(t)
	b := open(t, c, w, "/?namespace=late&plane=pods", desktop, "light")
	names := func() []string {
		return eval[[]string](b, `[...document.querySelectorAll('#drift h3')].map((e) => e.textContent)`)
	}
	if got := names(); !slices.Equal(got, []string{"late/late-bird"}) {
		t.Errorf("differences of %q, want late/late-bird", got)
	}
	if got := eval[string](b, `document.getElementById('f-namespace').value + ' ' + document.getElementById('f-plane').value`); got != "late pods" {
		t.Errorf("the form says %q", got)
	}
	check(t, chromedp.Do(b, chromedp.Click(chromedp.CSS("#clear")), chromedp.WaitReady(chromedp.CSS("footer"))))
	if got := names(); len(got) < 5 {
		t.Errorf("without a filter: %q", got)
	}
	check(t, chromedp.Do(b, chromedp.SendKeys(chromedp.CSS("#f-q"), "KUBE-SYSTEM/AWS-NODE"+kb.Enter)))
	b.until("the filter is in the URL", `location.search.includes('q=KUBE-SYSTEM%2FAWS-NODE')`)
	if got := names(); !slices.Equal(got, []string{"kube-system/aws-node"}) {
		t.Errorf("differences of %q, want kube-system/aws-node", got)
	}
	b.calm()
}

// until waits for something in the page.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	for range 500 {
		if is, err := chromedp.Run(b, chromedp.Evaluate[bool](`document.readyState === 'complete' && `+condition)); err == nil && is { // none while it navigates
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("not within 25 s: %s", what)
}

// TestKeyboard: everything that can be clicked is reached with Tab, in the order in which
// it stands, its focus is seen, and Enter does what a click does.
func TestKeyboard(t *testing.T) {
	c, w := chrome(t), drifting(t)
	b := open(t, c, w, "/?refresh=off", desktop, "light")
	const usable = `[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, [tabindex="0"]')].filter((e) => e.checkVisibility())`
	want := eval[int](b, usable+`.length`)
	var unseen, reached []string
	last := -1
	for range want {
		check(t, chromedp.Do(b, chromedp.KeyEvent(kb.Tab)))
		at := eval[int](b, usable+`.indexOf(document.activeElement)`)
		what := eval[string](b, `document.activeElement.tagName + ' ' + (document.activeElement.id || document.activeElement.textContent.slice(0, 30))`)
		if at != last+1 {
			t.Errorf("after element %d Tab goes to %d, %s", last, at, what)
		}
		last = at
		reached = append(reached, what)
		if !eval[bool](b, `(() => { const s = getComputedStyle(document.activeElement); return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2; })()`) {
			unseen = append(unseen, what)
		}
	}
	if len(unseen) > 0 || want < 30 {
		t.Errorf("of %d that can be used, focus is not seen on %q", want, unseen)
	}
	if reached[0] != "A Skip to the page" {
		t.Errorf("the first that Tab reaches is %s", reached[0])
	}
	b.visit(w, "/?refresh=off")
	check(t, chromedp.Do(b, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)))
	b.until("the skip link leads to the page", `document.activeElement.id === 'main'`)
	eval[bool](b, `document.querySelector('.write summary').focus(), true`)
	check(t, chromedp.Do(b, chromedp.KeyEvent(kb.Enter)))
	b.until("Enter opens a write", `document.querySelector('.write').open && document.querySelector('.write .sides').checkVisibility()`)
	b.calm()
}

// TestRefresh: the page refreshes in place: what is open stays open, focus stays where it
// is, what is said changes; when the daemon is gone it says so, and keeps what it has.
func TestRefresh(t *testing.T) {
	c, w := chrome(t), exampleWorld(t, "repair")
	w.run(t, "a write", func(s daemonStatus) bool { return len(s.Steps) > 0 })
	b := open(t, c, w, "/", desktop, "light")
	eval[bool](b, `(window.old = true, document.querySelector('.write').open = true, document.querySelector('.write summary').focus(), document.getElementById('f-q').value = 'typed', true)`)
	headline := eval[string](b, `document.querySelector('h1').textContent`)
	w.until(t, "less drift", func(s daemonStatus) bool { return s.Summary.Findings <= 7 })
	b.until("the page says something else", `document.querySelector('h1').textContent !== `+quoted(headline))
	if got := eval[string](b, `document.getElementById('said').textContent`); got == "" || got == headline {
		t.Errorf("a screen reader is told %q", got)
	}
	if !eval[bool](b, `window.old && document.querySelector('.write[open]') !== null && document.activeElement.tagName === 'SUMMARY' && document.getElementById('f-q').value === 'typed'`) {
		t.Error("what was open, focused or typed is gone")
	}
	b.calm()
	w.stop()
	b.until("the page says that it is old", `!document.getElementById('stale').hidden`)
	if got := eval[string](b, `document.getElementById('stale').textContent`); !strings.Contains(got, "no answer") || !eval[bool](b, `document.querySelector('h1') !== null`) {
		t.Errorf("it says %q", got)
	}
}

// TestWithoutScript: the page is whole without JavaScript, and refreshes too.
func TestWithoutScript(t *testing.T) {
	c, w := chrome(t), inSync(t)
	b := open(t, c, w, "/", phone, "light")
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.visit(w, "/?namespace=demo2")
	headline, err := chromedp.Run(b, chromedp.Text(chromedp.CSS("h1")))
	check(t, err)
	refresh, err := chromedp.Run(b, chromedp.OuterHTML(chromedp.CSS("head")))
	check(t, err)
	if headline != "All 4 mappings are in sync" || !strings.Contains(refresh, `http-equiv="refresh"`) {
		t.Errorf("without JavaScript: %q", headline)
	}
}

// TestHostile: names and values that would be markup elsewhere are text here.
func TestHostile(t *testing.T) {
	const script = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	c := chrome(t)
	w := exampleWorld(t, "repair", "defaults.yaml", "demo2")
	check(t, w.AWS.PutRole(awsd.Role{ARN: "arn:aws:iam::123456789012:role/eks-irsa-lab-demo2-s3-reader-role",
		Trust: `{"Version":"2012-10-17","Statement":[{"Sid":"x","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":` + quoted(script) + `}}}]}`}))
	w.run(t, "a write", func(s daemonStatus) bool { return len(s.Steps) > 0 })
	_, err := w.repo.Commit(gitd.Change{Branch: "main", Write: map[string]string{"demo2/evil.yaml": "apiVersion: lanyard.io/v1alpha1\nkind: IdentityMapping\nmetadata: {name: " + quoted(script+"\u202egpj.exe") + ", namespace: demo2}\n"}, By: gitd.By(w.Clock.Now())})
	check(t, err)
	w.until(t, "a head that is not followed", func(s daemonStatus) bool {
		return strings.Contains(string(w.get(t, "api/v1/status")), `"reason": "invalid"`)
	})
	for _, path := range []string{"/", "/?q=%3Cscript%3Edocument.title%3D%27owned%27%3C%2Fscript%3E&namespace=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E"} {
		b := open(t, c, w, path, phone, "light")
		eval[bool](b, `document.querySelectorAll('details').forEach((d) => { d.open = true }), true`)
		if title := eval[string](b, `document.title`); strings.Contains(title, "owned") {
			t.Errorf("%s: a script ran: %q", path, title)
		}
		if n := eval[int](b, `document.querySelectorAll('img, main script, iframe, object, embed').length`); n > 0 {
			t.Errorf("%s: %d elements were made of text", path, n)
		}
		if path == "/" && !eval[bool](b, `document.getElementById('alerts').textContent.includes("<img src=x onerror")`) {
			t.Error("the hostile text is not on the page: the test looks at nothing")
		}
		if eval[bool](b, `document.body.textContent.includes('\u202e')`) {
			t.Errorf("%s: a character that turns the direction is on the page", path)
		}
		if out := eval[[]string](b, sideways); len(out) > 0 {
			t.Errorf("%s: sticks out: %q", path, out)
		}
		b.calm()
	}
}

func quoted(s string) string {
	data, _ := json.Marshal(s)
	return string(data)
}

// TestStranger: whoever has no token is asked for one, and shown nothing.
func TestStranger(t *testing.T) {
	w := inSync(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url, nil)
	check(t, err)
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("%d, %q", answer.StatusCode, answer.Header.Get("WWW-Authenticate"))
	}
	ctx, cancel := chromedp.NewContext(chrome(t))
	defer cancel()
	check(t, chromedp.Do(ctx))
	ctx, late := context.WithTimeout(ctx, 30*time.Second)
	defer late()
	for _, address := range []string{w.url, strings.Replace(w.url, "//", "//somebody:guess@", 1)} {
		// Headless, there is nobody whom it could ask for a password.
		if err := chromedp.Do(ctx, chromedp.Navigate(address)); err == nil || !strings.Contains(err.Error(), "ERR_INVALID_AUTH_CREDENTIALS") {
			t.Errorf("%s: Chromium asks for no password: %v", address, err)
		}
	}
}
