package trust

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

func seeds(f *testing.F) {
	m := [...]string{
		web(`{"StringEquals":{"HOST:sub":"SUB","HOST:aud":["sts.amazonaws.com"]}}`),
		webDeny(`{"ForAllValues:StringLikeIfExists":{"aws:TagKeys":["eks-*","${aws:username, 'x'}"]}}`),
		pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:${aws:SourceAccount}:cluster/*"},"Null":{"aws:SourceIp":"true"}}`),
		podsDeny(`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"},"DateLessThan":{"aws:CurrentTime":"2026-01-01"},"NumericEquals":{"aws:EpochTime":1}}`),
		"{\"Statement\":{\"Sid\":\"\",\"Effect\":\"Deny\",\"NotPrincipal\":{\"AWS\":\"*\"},\"NotAction\":\"sts:?*\"}\t}",
		`{"Statement":[` + foreign + "," + string(grantOf(identity.IRSA, 0).statement(true)) + `]}`,
		`{"a":"\ud83d\ude00\"\\","b":[1e9,-0.5,true,null,{}]}`,
	}
	for _, s := range m {
		f.Add(s)
	}
}

// FuzzParse: what is accepted is JSON to the standard library as well, and its
// statements are the bytes that the text holds; nothing panics.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("Parse took what is not JSON: %q", text)
		}
		if d.Text() != text {
			t.Fatalf("Text = %q, want %q", d.Text(), text)
		}
		for _, s := range d.Statements() {
			if !json.Valid(s.Raw) {
				t.Fatalf("statement %d of %q is cut out as %q", s.Index, text, s.Raw)
			}
		}
		if !Equal(d, mustParse(t, " "+text+"\n")) {
			t.Fatalf("white space changed the meaning of %q", text)
		}
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return // numbers out of range
		}
		if m, err := json.Marshal(v); err == nil && d.Valid() == nil {
			if e, err := Parse(string(m)); err == nil && e.Valid() == nil && !Equal(d, e) {
				t.Fatalf("%q and %q differ in meaning", text, m)
			}
		}
	})
}

// FuzzEvaluate: every answer has its cause, and whitespace never tips one.
func FuzzEvaluate(f *testing.F) {
	m := [...]string{"", "arn:aws:eks:eu-central-1:123456789012:cluster/irsa-lab", "\xff:*"}
	for i, source := range m {
		f.Add(web(`{"StringLike":{"HOST:sub":"*a*b*?"}}`), "demo", "s3-reader", "sts.amazonaws.com", source, i == 0)
		f.Add(pods(`{"StringLike":{"aws:SourceArn":["${aws:SourceArn}","*:*"]}}`), "demo", "s3-reader", "", source, i == 1)
		f.Add(podsDeny(`{"ArnNotLike":{"aws:SourceArn":"*:*:*:*:*:?"}}`), "demo", "x", "", source, i == 2)
	}
	f.Fuzz(func(t *testing.T, text, namespace, account, audience, source string, tags bool) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		e := mustParse(t, "\n"+text)
		for _, r := range []Request{irsa, podID} {
			r.Subject = identity.Subject{Namespace: namespace, ServiceAccount: account}
			r.Audience, r.SourceARN, r.SessionTags = audience, source, tags
			v := d.Evaluate(r)
			if (v.Decision == Allow) != (v.Cause == NoCause) || v.Reason == "" || v.Statement >= len(d.Statements()) {
				t.Fatalf("Evaluate(%q, %+v) = %+v", text, r, v)
			}
			if got := d.Decide(r); got != v.Decision {
				t.Fatalf("Decide(%q, %+v) = %v, Evaluate says %v", text, r, got, v.Decision)
			}
			if (v.Cause == BadDocument) != (d.Valid() != nil) {
				t.Fatalf("Evaluate(%q) = %+v, but Valid = %v", text, v, d.Valid())
			}
			if w := e.Evaluate(r); w.Decision != v.Decision || w.Statement != v.Statement {
				t.Fatalf("white space tipped %q from %+v to %+v", text, v, w)
			}
			second := ChainRequest{Caller: testCaller, Subject: r.Subject, Cluster: r.Cluster, SessionTags: tags, ExternalID: audience}
			if v := d.EvaluateChain(second); (v.Decision == Allow) != (v.Cause == NoCause) || v.Reason == "" {
				t.Fatalf("EvaluateChain(%q, %+v) = %+v", text, second, v)
			}
			if v, ok := d.Excess(r, identity.WidthPinned); ok && v.Decision != Allow {
				t.Fatalf("Excess(%q, %+v) = %+v", text, r, v)
			}
		}
	})
}

// FuzzCompare: no two documents take long or panic, a document does not differ from
// itself, and the difference is the same from both sides.
func FuzzCompare(f *testing.F) {
	f.Add(pods(`{}`), web(`{"StringLike":{"HOST:sub":"system:serviceaccount:*:?"}}`))
	f.Add(podsDeny(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:*:cluster/a*"}}`), webDeny(`{"StringNotLike":{"HOST:sub":"*"}}`))
	f.Fuzz(func(t *testing.T, one, other string) {
		a, err := Parse(one)
		if err != nil {
			return
		}
		b, err := Parse(other)
		if err != nil {
			return
		}
		if d := Compare(a, a); len(d.OnlyA)+len(d.OnlyB)+len(d.Unclear) > 0 {
			t.Fatalf("%q differs from itself: %+v", one, d)
		}
		x, y := Compare(a, b), Compare(b, a)
		if !x.Partial && (!slices.Equal(x.OnlyA, y.OnlyB) || !slices.Equal(x.OnlyB, y.OnlyA)) {
			t.Fatalf("Compare(%q, %q) = %+v, the other way round %+v", one, other, x, y)
		}
		for _, l := range a.Lint(LintOptions{Cluster: testCluster}) {
			if l.Message == "" || l.Statement >= len(a.Statements()) {
				t.Fatalf("Lint(%q) says %+v", one, l)
			}
		}
	})
}

// FuzzEdit: an edit keeps its promises on whatever it accepts.
func FuzzEdit(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		checkEdit(t, d, grantOf(identity.IRSA, 0))
		for _, w := range widths {
			checkEdit(t, d, grantOf(identity.PodIdentity, w))
		}
		for _, s := range d.Statements() {
			if e, err := d.RemoveSid(s.Sid); err == nil && e.Changed && len(e.Document.Statements()) != len(d.Statements())-1 {
				t.Fatalf("RemoveSid(%q) from %q left %q", s.Sid, text, e.Document.Text())
			}
		}
	})
}
