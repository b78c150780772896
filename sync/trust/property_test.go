package trust

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// maker makes documents near the edge: most of their parts speak of the test
// subject, so that decisions of every kind come up.
type maker struct{ *rand.Rand }

func (m maker) one(from ...string) string { return from[m.IntN(len(from))] }

func (m maker) statement() string {
	who := m.one(`"Principal":"*"`, `"Principal":{"Federated":"PROVIDER"}`, `"Principal":PODS`, `"Principal":{"AWS":"123456789012","Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"]}`)
	effect := m.one("Allow", "Allow", "Allow", "Deny")
	if effect == "Deny" {
		who = m.one(who, `"NotPrincipal":PODS`, `"NotPrincipal":{"Federated":"PROVIDER"}`)
	}
	what := m.one(`"Action":"*"`, `"Action":"sts:*"`, `"Action":["sts:AssumeRole","sts:TagSession"]`, `"Action":"WEB"`, `"NotAction":"sts:TagSession"`, `"Action":"sts:TagSession"`)
	var conditions []string
	for range m.IntN(3) {
		conditions = append(conditions, m.condition())
	}
	slices.Sort(conditions)
	conditions = slices.CompactFunc(conditions, func(a, b string) bool {
		x, _, _ := strings.Cut(a, ":{")
		y, _, _ := strings.Cut(b, ":{")
		return strings.EqualFold(x, y)
	})
	return expand(fmt.Sprintf(`{"Effect":%q,%s,%s,"Condition":{%s}}`, effect, who, what, strings.Join(conditions, ",")))
}

func (m maker) condition() string {
	op := m.one("", "", "ForAllValues:", "ForAnyValue:") + m.one("StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnLike", "ArnNotEquals", "StringEqualsIgnoreCase", "NumericEquals", "NotIpAddress", "Bool") + m.one("", "", "IfExists")
	if m.IntN(8) == 0 {
		op = "Null"
	}
	key := m.one("HOST:sub", "HOST:aud", "STALE:sub", "aws:SourceAccount", "aws:SourceArn", "aws:TagKeys", "aws:RequestTag/kubernetes-namespace", "aws:RequestTag/kubernetes-pod-name", "aws:SourceIp", "aws:username")
	value := func() string {
		return `"` + m.one("SUB", "sts.amazonaws.com", "system:serviceaccount:demo:*", "*", "x", "123456789012", "CLUSTERARN", "arn:aws:eks:*:*:cluster/*", "demo", "true", "eks-*", "${aws:SourceArn}", "${aws:username, 'demo'}", "${aws:username}", "203.0.113.0/24") + `"`
	}
	values := value()
	if m.IntN(2) == 0 {
		values = "[" + values + "," + value() + "]"
	}
	return fmt.Sprintf(`%q:{%q:%s}`, op, key, values)
}

func (m maker) statements() []string {
	out := make([]string, 1+m.IntN(4))
	for i := range out {
		out[i] = m.statement()
	}
	return out
}

func (m maker) request() Request {
	r := [...]Request{irsa, podID, untagged}[m.IntN(3)]
	if m.IntN(2) == 0 {
		r.SourceARN = ""
	}
	return r
}

func document(statements []string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func each(t *testing.T, n int, f func(m maker)) {
	t.Parallel()
	const seed = 20261123
	t.Logf("seed %d", seed)
	m := maker{rand.New(rand.NewPCG(seed, uint64(len(t.Name()))))}
	for range n {
		f(m)
		if t.Failed() {
			return
		}
	}
}

func TestOrderNeverMatters(t *testing.T) {
	seen := map[Decision]int{}
	each(t, 5000, func(m maker) {
		stmts, r := m.statements(), m.request()
		a := mustParse(t, document(stmts))
		m.Shuffle(len(stmts), func(i, j int) { stmts[i], stmts[j] = stmts[j], stmts[i] })
		b := mustParse(t, document(stmts))
		x, y := a.Evaluate(r), b.Evaluate(r)
		if x.Decision != y.Decision || !Equal(a, b) {
			t.Errorf("in another order\n doc  %s\n req  %+v\n got  %v (%s), equal %v\n want %v (%s)", b.Text(), r, y.Decision, y.Reason, Equal(a, b), x.Decision, x.Reason)
		}
		if got := a.Decide(r); got != x.Decision {
			t.Errorf("Decide = %v, Evaluate = %v\n doc %s\n req %+v", got, x.Decision, a.Text(), r)
		}
		seen[x.Decision]++
	})
	for _, d := range []Decision{Deny, Allow, Undecidable} {
		if seen[d] < 100 {
			t.Errorf("only %d answers were %v: the documents made do not test much", seen[d], d)
		}
	}
}

// A Deny more never turns a refusal into anything wider.
func TestDenyNeverWidens(t *testing.T) {
	wide := map[Decision]int{Deny: 0, Undecidable: 1, Allow: 2}
	each(t, 5000, func(m maker) {
		stmts, r := m.statements(), m.request()
		before := mustParse(t, document(stmts)).Evaluate(r)
		deny := m.statement()
		for !strings.Contains(deny, `"Effect":"Deny"`) {
			deny = m.statement()
		}
		doc := document(slices.Insert(stmts, m.IntN(len(stmts)+1), deny))
		after := mustParse(t, doc).Evaluate(r)
		if wide[after.Decision] > wide[before.Decision] {
			t.Errorf("a Deny widened\n doc  %s\n req  %+v\n got  %v (%s)\n from %v (%s)", doc, r, after.Decision, after.Reason, before.Decision, before.Reason)
		}
	})
}

// What is undecidable for an unknown source ARN is what the answer hangs on: with
// one known it may go either way, but a decided answer stays.
func TestDecidedStaysDecided(t *testing.T) {
	each(t, 5000, func(m maker) {
		doc, r := document(m.statements()), podID
		d := mustParse(t, doc)
		r.SourceARN = ""
		before := d.Evaluate(r)
		for _, arn := range []string{testARN, "arn:aws:eks:eu-central-1:123456789012:podidentityassociation/irsa-lab/a-1", "demo"} {
			r.SourceARN = arn
			if after := d.Evaluate(r); before.Decision != Undecidable && after.Decision != before.Decision {
				t.Errorf("with the source ARN known to be %s\n doc  %s\n got  %v (%s)\n want %v (%s)", arn, doc, after.Decision, after.Reason, before.Decision, before.Reason)
			}
		}
	})
}

func TestAllowedAfterAdd(t *testing.T) {
	added := 0
	each(t, 2000, func(m maker) {
		d := mustParse(t, document(m.statements()))
		g := grantOf(identity.IRSA, 0)
		if m.IntN(2) == 0 {
			g = grantOf(identity.PodIdentity, widths[m.IntN(len(widths))])
		}
		checkEdit(t, d, g)
		if e, err := d.Add(g, 0); err == nil && e.Changed {
			added++
		}
	})
	if added < 400 {
		t.Errorf("only %d documents of 2000 took the grant", added)
	}
}

// checkEdit holds an edit to its promises.
func checkEdit(t *testing.T, d *Document, g Grant) {
	t.Helper()
	checkAdmit(t, d, g)
	e, err := d.Add(g, 0)
	if err != nil {
		if e.Changed || e.Document != d {
			t.Errorf("a refused Add changed %q", d.Text())
		}
		return
	}
	for _, r := range g.requests() {
		if v := e.Document.Evaluate(r); v.Decision != Allow && v.Cause != Unknowable {
			t.Errorf("after Add to %q: %v, %s", d.Text(), v.Decision, v.Reason)
		}
	}
	if again, err := e.Document.Add(g, 0); err != nil || again.Changed {
		t.Errorf("Add twice to %q: changed %v, %v", d.Text(), again.Changed, err)
	}
	had := slices.ContainsFunc(d.Statements(), func(s Statement) bool { return s.Sid == g.Sid() })
	if !e.Changed || had {
		return
	}
	back, err := e.Document.RemoveSid(g.Sid())
	if err != nil || back.Document.Text() != d.Text() {
		t.Errorf("Add then RemoveSid\n got  %q, %v\n want %q", back.Document.Text(), err, d.Text())
	}
	for _, r := range g.requests() {
		checkRemove(t, d, r, true)
		checkRemove(t, e.Document, r, g.Mechanism == identity.IRSA || g.Width == identity.WidthPinned)
	}
}

// checkAdmit: what was admitted is allowed, whatever else goes; statements that
// stood there stand there still, to the byte; and a removal undoes it.
func checkAdmit(t *testing.T, d *Document, g Grant) {
	t.Helper()
	r := g.requests()[0]
	r.SourceARN = g.Cluster.ARN()
	e, err := d.Admit(r, g.Width, 0)
	if err != nil {
		if e.Changed || e.Document != d {
			t.Errorf("a refused Admit changed %q", d.Text())
		}
		return
	}
	own := r
	own.IgnoreOthers = true
	if v := e.Document.Evaluate(own); v.Decision != Allow {
		t.Errorf("after Admit to %q: %v, %s", d.Text(), v.Decision, v.Reason)
	}
	if again, err := e.Document.Admit(r, g.Width, 0); err != nil || again.Changed {
		t.Errorf("Admit twice to %q: changed %v, %v", d.Text(), again.Changed, err)
	}
	before, after := d.Statements(), e.Document.Statements()
	if !e.Changed || len(after) != len(before)+1 {
		return
	}
	for i := range before {
		if string(before[i].Raw) != string(after[i].Raw) {
			t.Errorf("Admit to %q changed statement %d to %s", d.Text(), i+1, after[i].Raw)
		}
	}
	if back, err := e.Document.Remove(r); err == nil && d.Evaluate(own).Decision == Deny && !hasOwn(d, r) && back.Document.Text() != d.Text() {
		t.Errorf("Admit then Remove\n got  %q\n want %q", back.Document.Text(), d.Text())
	}
}

func hasOwn(d *Document, r Request) bool {
	return slices.ContainsFunc(d.Statements(), func(s Statement) bool { return slices.Contains(OwnSids(r.Cluster, r.Subject), s.Sid) })
}

// checkRemove: what was removed is granted no more, and nobody else lost anything
// (unless the statement was lanyard's own, of a width that serves others too).
func checkRemove(t *testing.T, d *Document, r Request, alone bool) {
	t.Helper()
	e, err := d.Remove(r)
	if err != nil {
		if e.Changed || e.Document != d {
			t.Errorf("a refused Remove changed %q", d.Text())
		}
		return
	}
	r.SourceARN = r.Cluster.ARN()
	if v := e.Document.Evaluate(r); v.Decision == Allow && !othersAllow(e.Document, r) {
		t.Errorf("Remove left %q, which still allows %+v: %s", e.Document.Text(), r, v.Reason)
	}
	if again, err := e.Document.Remove(r); err != nil || again.Changed {
		t.Errorf("Remove twice from %q: changed %v, %v", d.Text(), again.Changed, err)
	}
	for _, other := range neighbours(r) {
		if !alone {
			break
		}
		if a, b := d.Evaluate(other), e.Document.Evaluate(other); a.Decision != b.Decision {
			t.Errorf("Remove of %v from %q took from %+v: %v, then %v", r.Subject, d.Text(), other, a.Decision, b.Decision)
		}
	}
}

// neighbours are requests that a removal must not touch.
func neighbours(r Request) []Request {
	var out []Request
	for _, change := range []func(*Request){
		func(r *Request) { r.Subject.ServiceAccount = "x" },
		func(r *Request) { r.Subject.Namespace = "x" },
		func(r *Request) { r.Cluster.Account, r.SourceARN = "210987654321", "" },
		func(r *Request) { r.Provider, r.Cluster.Issuer = r.Provider+"0", r.Cluster.Issuer+"0" },
		func(r *Request) { r.Cluster.Name, r.SourceARN = "x", "" },
	} {
		o := r
		change(&o)
		if r.Mechanism == identity.IRSA && o.Provider == r.Provider && o.Subject == r.Subject || r.Mechanism != identity.IRSA && o.Cluster.Issuer != r.Cluster.Issuer {
			continue
		}
		out = append(out, o)
	}
	return out
}

// othersAllow reports whether it is another mapping's statement that lets r in.
func othersAllow(d *Document, r Request) bool {
	r.IgnoreOthers = true
	return d.Evaluate(r).Decision != Allow
}

// Documents between which Compare finds no difference answer alike, whoever asks.
func TestNoDifferenceNoOtherAnswer(t *testing.T) {
	compared := 0
	each(t, 20000, func(m maker) {
		stmts := m.statements()
		a := mustParse(t, document(stmts))
		switch i := m.IntN(len(stmts)); m.IntN(3) { // a near copy: independent ones nearly always differ
		case 0:
			stmts[i] = m.statement()
		case 1:
			stmts = append(stmts, m.statement())
		default:
			if len(stmts) > 1 {
				stmts = append(stmts[:i:i], stmts[i+1:]...)
			}
		}
		b := mustParse(t, document(stmts))
		if strings.Contains(a.Text()+b.Text(), "${") { // values that only variables have are not asked about
			return
		}
		if !Compare(a, b).Empty() || Equal(a, b) {
			return
		}
		compared++
		for range 12 {
			r := m.request()
			r.SourceARN = r.Cluster.ARN()
			r.Subject = identity.Subject{Namespace: m.one("demo", "x"), ServiceAccount: m.one("s3-reader", "x")}
			r.Audience = m.one("sts.amazonaws.com", "x", "vault")
			if x, y := a.Decide(r), b.Decide(r); x != y {
				t.Errorf("Compare finds no difference\n between %s\n and     %s\n request %+v: %v, %v", a.Text(), b.Text(), r, x, y)
				return
			}
		}
	})
	if compared < 300 {
		t.Errorf("only %d pairs did not differ", compared)
	}
}
