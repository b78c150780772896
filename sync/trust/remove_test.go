package trust

import (
	"errors"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

const pinnedTags = `{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader","aws:RequestTag/eks-cluster-arn":"CLUSTERARN"}}`

func TestRemove(t *testing.T) {
	t.Parallel()
	web, pod := grantOf(identity.IRSA, 0), grantOf(identity.PodIdentity, identity.WidthPinned)
	wide := grantOf(identity.PodIdentity, identity.WidthBare)
	others := wide
	others.Subject.ServiceAccount = "other"
	irsaDoc := func(values string) string {
		return expand(`{"Statement":[` + foreign + `,{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB","Condition":{"StringEquals":{"HOST:aud":"sts.amazonaws.com","HOST:sub":` + values + `}}}]}`)
	}
	podDoc := func(condition string) string {
		return expand(`{"Statement":[` + foreign + `,{"Effect":"Allow","Principal":PODS,"Action":["sts:AssumeRole","sts:TagSession"],"Condition":` + condition + `}]}`)
	}
	alone := `{"Statement":[` + foreign + `]}`
	for _, tt := range []struct {
		name, doc string
		grant     Grant
		want      string // "" is unchanged
		err       error
		text      string
	}{
		{name: "nothing there", doc: alone, grant: web},
		{name: "own", doc: `{"Statement":[` + foreign + `,` + string(web.Statement()) + `]}`, grant: web, want: alone},
		{name: "own of two widths", doc: `{"Statement":[` + string(wide.Statement()) + `,` + foreign + `,` + string(pod.Statement()) + `]}`, grant: pod, want: alone},
		{name: "another mapping's", doc: `{"Statement":[` + foreign + `,` + string(others.Statement()) + `]}`, grant: pod},
		{name: "other mechanism", doc: `{"Statement":[` + foreign + `,` + string(pod.Statement()) + `]}`, grant: web},
		{name: "foreign", doc: irsaDoc(`"SUB"`), grant: web, want: alone},
		{name: "foreign, list of one", doc: irsaDoc(`["SUB","SUB"]`), grant: web, want: alone},
		{name: "other subject", doc: irsaDoc(`"x"`), grant: web},
		{name: "first of a list", doc: irsaDoc(`[ "SUB", "x" ]`), grant: web, want: irsaDoc(`[ "x" ]`)},
		{name: "last of a list", doc: irsaDoc(`["x" , "SUB"]`), grant: web, want: irsaDoc(`["x"]`)},
		{name: "twice in a list", doc: irsaDoc(`["SUB","x","SUB"]`), grant: web, want: irsaDoc(`["x"]`)},
		{name: "two statements", doc: strings.TrimSuffix(irsaDoc(`"SUB"`), "]}") + "," + strings.TrimPrefix(irsaDoc(`["SUB","x"]`), `{"Statement":[`), grant: web, want: alone[:len(alone)-2] + "," + strings.TrimPrefix(irsaDoc(`["x"]`), `{"Statement":[`)},
		{name: "like without wildcards", doc: strings.Replace(irsaDoc(`["SUB","x"]`), "StringEquals", "StringLike", 1), grant: web, want: strings.Replace(irsaDoc(`["x"]`), "StringEquals", "StringLike", 1)},
		{name: "wildcard", doc: strings.Replace(irsaDoc(`"system:serviceaccount:demo:*"`), "StringEquals", "StringLike", 1), grant: web, err: ErrShared, text: "by the pattern system:serviceaccount:demo:*"},
		{name: "wildcard beside", doc: strings.Replace(irsaDoc(`["SUB","system:*"]`), "StringEquals", "StringLike", 1), grant: web, err: ErrShared, text: "by the pattern"},
		{name: "negation", doc: expand(`{"Statement":[` + foreign + `,{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB","Condition":{"StringNotEquals":{"HOST:sub":"x"}}}]}`), grant: web, err: ErrShared, text: "lets in all but some"},
		{name: "beside another's pattern", doc: strings.Replace(irsaDoc(`["SUB","system:serviceaccount:x:*"]`), "StringEquals", "StringLike", 1), grant: web, want: strings.Replace(irsaDoc(`["system:serviceaccount:x:*"]`), "StringEquals", "StringLike", 1)},
		{name: "another audience", doc: strings.Replace(irsaDoc(`"SUB"`), "sts.amazonaws.com\"", "vault\"", 1), grant: web},
		{name: "denied anyway", doc: strings.TrimSuffix(irsaDoc(`["SUB","x"]`), "]}") + expand(`,{"Effect":"Deny","Principal":"*","Action":"WEB"}]}`), grant: web},
		{name: "own though denied", doc: `{"Statement":[` + string(web.Statement()) + expand(`,{"Effect":"Deny","Principal":"*","Action":"WEB"}]}`), grant: web, want: expand(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"WEB"}]}`)},
		{name: "TagSession for all", doc: expand(`{"Statement":[{"Effect":"Allow","Principal":PODS,"Action":"sts:TagSession"},{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole","Condition":` + pinnedTags + `}]}`), grant: pod, want: expand(`{"Statement":[{"Effect":"Allow","Principal":PODS,"Action":"sts:TagSession"}]}`)},
		{name: "present is not pinned", doc: podDoc(`{"Null":{"aws:RequestTag/kubernetes-namespace":"false","aws:RequestTag/kubernetes-service-account":"false"},"StringEquals":{"aws:RequestTag/eks-cluster-name":"irsa-lab"}}`), grant: pod, err: ErrShared, text: "tests no namespace"},
		{name: "if it exists", doc: strings.Replace(podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo"}}`), "StringEquals", "StringEqualsIfExists", 1), grant: pod, err: ErrShared, text: "whoever does not send"},
		{name: "no subject", doc: expand(`{"Statement":{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB"}}`), grant: web, err: ErrShared, text: "statement 1 tests no subject"},
		{name: "other principals", doc: expand(`{"Statement":{"Sid":"A","Effect":"Allow","Principal":{"Federated":["PROVIDER","x"]},"Action":"WEB"}}`), grant: web, err: ErrShared, text: "statement 1 (A) serves other principals too"},
		{name: "everyone", doc: expand(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"WEB"}}`), grant: web, err: ErrShared, text: "other principals"},
		{name: "refused whole", doc: strings.TrimSuffix(irsaDoc(`"SUB"`), "]}") + expand(`,{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB"}]}`), grant: web, err: ErrShared, text: "tests no subject"},
		{name: "only statement", doc: `{"Statement":[` + string(web.Statement()) + `]}`, grant: web, err: ErrLastStatement, text: "remove grant of demo/s3-reader"},
		{name: "beyond the grammar", doc: `{"Statement":[]}`, grant: web, err: ErrUneditable},
		{name: "a Deny stays", doc: strings.Replace(irsaDoc(`"SUB"`), `"Effect":"Allow","Principal":{"Fed`, `"Effect":"Deny","Principal":{"Fed`, 1), grant: web},

		{name: "bare", doc: podDoc(`{}`), grant: pod, err: ErrShared, text: "tests no namespace"},
		{name: "any cluster", doc: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader"}}`), grant: pod, err: ErrShared, text: "tests no cluster"},
		{name: "pinned by others", doc: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader","aws:RequestTag/eks-cluster-name":"irsa-lab"}}`), grant: pod, want: alone},
		{name: "one of two accounts", doc: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":["x","s3-reader"]},"ArnEquals":{"aws:SourceArn":"CLUSTERARN"}}`), grant: pod,
			want: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":["x"]},"ArnEquals":{"aws:SourceArn":"CLUSTERARN"}}`)},
		{name: "one of two clusters", doc: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader","aws:RequestTag/eks-cluster-name":["a","irsa-lab"]}}`), grant: pod,
			want: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader","aws:RequestTag/eks-cluster-name":["a"]}}`)},
		{name: "cross product", doc: podDoc(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":["demo","x"],"aws:RequestTag/kubernetes-service-account":["x","s3-reader"],"aws:RequestTag/eks-cluster-name":"irsa-lab"}}`), grant: pod, err: ErrShared, text: "every pair of the lists"},
		{name: "untagged only", doc: podDoc(`{"Null":{"aws:TagKeys":"true"}}`), grant: pod},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := mustParse(t, tt.doc)
			want := tt.want
			if want == "" {
				want = tt.doc
			}
			r := tt.grant.requests()[0]
			e, err := d.Remove(r)
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("Remove from %s: %v, want %v with %q", tt.doc, err, tt.err, tt.text)
			}
			if got := e.Document.Text(); got != want || e.Changed != (want != tt.doc) || e.After != e.Document.Size() {
				t.Errorf("Remove\n from %s\n got  %s (changed %v)\n want %s", tt.doc, got, e.Changed, want)
			}
			if again, err := e.Document.Remove(r); tt.err == nil && (err != nil || again.Changed) {
				t.Errorf("Remove twice: changed %v, %v", again.Changed, err)
			}
		})
	}
}
