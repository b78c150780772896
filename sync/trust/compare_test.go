package trust

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	pinned := grantOf(identity.PodIdentity, identity.WidthPinned)
	doc := func(stmts ...string) string { return expand(`{"Statement":[` + strings.Join(stmts, ",") + `]}`) }
	allow := func(who, what, condition string) string {
		return `{"Effect":"Allow","Principal":` + who + `,"Action":` + what + `,"Condition":{` + condition + `}}`
	}
	fed := func(condition string) string { return allow(`{"Federated":"PROVIDER"}`, `"WEB"`, condition) }
	const aud = `"StringEquals":{"HOST:aud":"sts.amazonaws.com","HOST:sub":`
	both := `["sts:AssumeRole","sts:TagSession"]`
	text := func(g Grant) string { return string(g.Statement()) }
	irsaOf := func(who string) string {
		return who + " by irsa through " + testProvider + " with audience sts.amazonaws.com"
	}
	for _, tt := range []struct {
		name                  string
		a, b                  string
		onlyA, onlyB, unclear []string
	}{
		{name: "same", a: doc(text(pinned), foreign), b: doc(foreign, text(pinned))},
		{name: "list or statements", a: doc(fed(aud + `["SUB","system:serviceaccount:demo:x"]}`)), b: doc(fed(aud+`"SUB"}`), fed(aud+`"system:serviceaccount:demo:x"}`))},
		{name: "one more", a: doc(fed(aud + `["SUB","system:serviceaccount:demo:x"]}`)), b: doc(fed(aud + `"SUB"}`)), onlyA: []string{irsaOf("demo/x")}},
		{name: "namespace", a: doc(fed(aud + `"SUB"}`)), b: doc(fed(`"StringEquals":{"HOST:aud":"sts.amazonaws.com"},"StringLike":{"HOST:sub":"system:serviceaccount:demo:*"}`)),
			onlyB: []string{irsaOf("every ServiceAccount of namespace demo")}},
		{name: "missing subject", a: doc(fed(`"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`)), b: doc(fed(aud + `"SUB"}`)), onlyA: []string{irsaOf("every ServiceAccount")}},
		{name: "missing audience", a: doc(fed(`"StringEquals":{"HOST:sub":"SUB"}`)), b: doc(fed(aud + `"SUB"}`)),
			onlyA: []string{"demo/s3-reader by irsa through " + testProvider + " with any audience"}},
		{name: "another provider", a: doc(fed(aud + `"SUB"}`)), b: doc(strings.ReplaceAll(fed(aud+`"SUB"}`), "PROVIDER", strings.Replace(testProvider, testHost, testStale, 1))),
			onlyA: []string{irsaOf("demo/s3-reader")}},
		{name: "a Deny", a: doc(fed(`"StringLike":{"HOST:sub":"system:serviceaccount:demo:*"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`)),
			b:     doc(fed(`"StringLike":{"HOST:sub":"system:serviceaccount:demo:*"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), `{"Effect":"Deny","Principal":"*","Action":"WEB","Condition":{"StringEquals":{"HOST:sub":"SUB"}}}`),
			onlyA: []string{irsaOf("demo/s3-reader")}},
		{name: "width", a: doc(text(pinned)), b: doc(text(grantOf(identity.PodIdentity, identity.WidthAccount))), onlyB: []string{"every ServiceAccount by pod-identity in arn:aws:eks:*:123456789012:cluster/*"}},
		{name: "bare", a: doc(allow("PODS", both, "")), b: doc(text(pinned)), onlyA: []string{"every ServiceAccount by pod-identity in arn:aws:eks:*:*:cluster/*"}},
		{name: "no TagSession", a: doc(allow("PODS", both, "")), b: doc(allow("PODS", `"sts:AssumeRole"`, "")), onlyA: []string{"every ServiceAccount by pod-identity in arn:aws:eks:*:*:cluster/*"}},
		{name: "tags off only", a: doc(foreign), b: doc(allow("PODS", `"sts:AssumeRole"`, "")), onlyB: []string{"every ServiceAccount by pod-identity in arn:aws:eks:*:*:cluster/* with session tags off"}},
		{name: "cluster names", a: doc(allow("PODS", both, `"StringEquals":{"aws:SourceAccount":"123456789012","aws:RequestTag/eks-cluster-name":"irsa-lab","aws:RequestTag/kubernetes-namespace":"demo"}`)), b: doc(foreign),
			onlyA: []string{"every ServiceAccount of namespace demo by pod-identity in arn:aws:eks:*:123456789012:cluster/irsa-lab"}},
		{name: "cluster pattern", a: doc(allow("PODS", both, `"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:*:cluster/irsa-*"}`)), b: doc(foreign),
			onlyA: []string{"every ServiceAccount by pod-identity in arn:aws:eks:*:*:cluster/irsa-*"}},
		{name: "unknown", a: doc(fed(aud + `"SUB"},"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)), b: doc(foreign), unclear: []string{irsaOf("demo/s3-reader")}},
		{name: "any provider", a: doc(allow(`"*"`, `"WEB"`, "")), b: doc(foreign), onlyA: []string{"every ServiceAccount by irsa through any OIDC provider with any audience"}},
		{name: "any sub", a: doc(fed(`"StringLike":{"HOST:sub":"*"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`)), b: doc(foreign), onlyA: []string{irsaOf("every ServiceAccount")}},
		{name: "an asterisk to the letter", a: doc(allow("PODS", both, `"StringEquals":{"aws:RequestTag/kubernetes-namespace":"*"}`)), b: doc(foreign)},
		{name: "a subject's asterisk to the letter", a: doc(fed(aud + `"system:serviceaccount:demo:*"}`)), b: doc(foreign)},
		{name: "an issuer of keys alone", a: doc(allow(`"*"`, `"WEB"`, `"StringEquals":{"HOST:sub":"SUB","HOST:aud":"sts.amazonaws.com"}`)), b: doc(foreign),
			onlyA: []string{"demo/s3-reader by irsa through arn:aws:iam::*:oidc-provider/" + testHost + " with audience sts.amazonaws.com"}},
		{name: "repository", a: doc(fed(`"StringEquals":{"HOST:sub":"repo:x/y","HOST:aud":"sts.amazonaws.com"}`)), b: doc(foreign)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := Compare(mustParse(t, tt.a), mustParse(t, tt.b))
			words := func(list []Access) (out []string) {
				for _, a := range list {
					out = append(out, a.String())
				}
				return out
			}
			for _, c := range []struct {
				what string
				want []string
				got  []Access
			}{{"only a", tt.onlyA, got.OnlyA}, {"only b", tt.onlyB, got.OnlyB}, {"unclear", tt.unclear, got.Unclear}} {
				if diff := cmp.Diff(c.want, words(c.got)); diff != "" {
					t.Errorf("Compare, %s: -want +got\n%s a %s\n b %s", c.what, diff, tt.a, tt.b)
				}
			}
			if want := len(tt.onlyA)+len(tt.onlyB)+len(tt.unclear) == 0; got.Empty() != want {
				t.Errorf("Empty() = %v, want %v", got.Empty(), want)
			}
			back := Compare(mustParse(t, tt.b), mustParse(t, tt.a))
			if diff := cmp.Diff(got.OnlyA, back.OnlyB) + cmp.Diff(got.OnlyB, back.OnlyA); diff != "" {
				t.Errorf("Compare the other way round differs:\n%s", diff)
			}
		})
	}
}

func TestAllows(t *testing.T) {
	t.Parallel()
	d := mustParse(t, document([]string{foreign, string(grantOf(identity.IRSA, 0).Statement()), string(grantOf(identity.PodIdentity, identity.WidthPinned).Statement())}))
	got, whole := d.Allows()
	want := []Access{
		{Mechanism: identity.IRSA, Namespace: "demo", ServiceAccount: "s3-reader", Provider: testProvider, Audience: "sts.amazonaws.com"},
		{Mechanism: identity.PodIdentity, Namespace: "demo", ServiceAccount: "s3-reader", Cluster: testARN},
	}
	if diff := cmp.Diff(want, got); diff != "" || !whole {
		t.Errorf("Allows (all %v): -want +got\n%s", whole, diff)
	}
	if got, whole := mustParse(t, `{"Statement":[]}`).Allows(); len(got) != 0 || whole {
		t.Errorf("Allows of an invalid document = %v, %v", got, whole)
	}
	if got := Compare(nil, nil); !got.Empty() {
		t.Errorf("Compare of nothing = %+v", got)
	}
	names := func(prefix string) string {
		var out []string
		for i := range 60 {
			out = append(out, fmt.Sprintf("%q", prefix+strconv.Itoa(i)))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	many := mustParse(t, pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":`+names("n")+`,"aws:RequestTag/kubernetes-service-account":`+names("a")+`}}`))
	if got := Compare(many, many); !got.Partial || got.Empty() {
		t.Error("Compare of 3,600 pairs does not say that it left some out")
	}
}

// Documents that are equal do not differ, whoever asks.
func TestEqualDocumentsDoNotDiffer(t *testing.T) {
	each(t, 500, func(m maker) {
		stmts := m.statements()
		a := mustParse(t, document(stmts))
		m.Shuffle(len(stmts), func(i, j int) { stmts[i], stmts[j] = stmts[j], stmts[i] })
		if d := Compare(a, mustParse(t, document(stmts))); len(d.OnlyA)+len(d.OnlyB)+len(d.Unclear) > 0 {
			t.Errorf("in another order %s differs: %+v", a.Text(), d)
		}
	})
}
