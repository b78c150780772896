package trust

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

func TestReasons(t *testing.T) {
	t.Parallel()
	stale := irsa
	pinnedElsewhere := Grant{Mechanism: identity.PodIdentity, Subject: identity.Subject{Namespace: "demo2", ServiceAccount: "s3-reader"}, Cluster: testCluster, SessionTags: true}
	otherCluster := podID
	otherCluster.Cluster.Name = "irsa-two"
	others := podID
	others.IgnoreOthers = true
	noARN := podID
	noARN.SourceARN = ""
	for _, tt := range []struct {
		name      string
		doc       string
		req       Request
		cause     Cause
		statement int
		reason    string
	}{
		{
			"allow", web(`{}`), irsa, NoCause, 0, "statement 1 allows it",
		}, {
			"no statement", expand(`{"Statement":{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}}`), irsa, NoStatement, -1,
			"no statement lets PROVIDER call WEB",
		}, {
			"other action", expand(`{"Statement":{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"sts:AssumeRole"}}`), irsa, NoStatement, 0,
			"statement 1 names the principal, but not WEB",
		}, {
			"other subject",
			strings.Replace(web(`{"StringEquals":{"HOST:sub":"system:serviceaccount:demo2:s3-reader"}}`), `[{`, `[{"Effect":"Deny","Principal":{"AWS":"123456789012"},"Action":"*"},{"Sid":"Reader",`, 1),
			irsa, OtherSubject, 1,
			"statement 2 (Reader) allows demo2/s3-reader, the pod is demo/s3-reader: :sub differs",
		}, {
			"other subjects", web(`{"StringLike":{"HOST:sub":["system:serviceaccount:demo2:s3-reader","system:serviceaccount:prod:*"]},"StringEquals":{"HOST:aud":"x"}}`), irsa, OtherSubject, 0,
			"statement 1 allows demo2/s3-reader or prod/*, the pod is demo/s3-reader: :sub differs; StringEquals wants HOST:aud x, it is sts.amazonaws.com",
		}, {
			"left out", web(`{"StringNotEquals":{"HOST:sub":"SUB"}}`), irsa, OtherSubject, 0,
			"statement 1 leaves out demo/s3-reader: StringNotEquals wants HOST:sub SUB, it is SUB",
		}, {
			"other audience", web(`{"StringEquals":{"HOST:sub":"SUB","HOST:aud":"vault"}}`), irsa, OtherAudience, 0,
			"statement 1 allows demo/s3-reader with another audience: StringEquals wants HOST:aud vault, it is sts.amazonaws.com",
		}, {
			"stale issuer", strings.ReplaceAll(web(`{"StringEquals":{"HOST:sub":"SUB","HOST:aud":"sts.amazonaws.com"}}`), testHost, testStale), stale, OtherIssuer, 0,
			"statement 1 allows demo/s3-reader through arn:aws:iam::123456789012:oidc-provider/STALE, the cluster's provider is PROVIDER",
		}, {
			"stale issuer of another make", strings.ReplaceAll(web(`{"StringEquals":{"HOST:sub":"SUB"}}`), testHost, "kind.example.com"), stale, OtherIssuer, 0,
			"statement 1 allows demo/s3-reader through arn:aws:iam::123456789012:oidc-provider/kind.example.com, the cluster's provider is PROVIDER",
		}, {
			"stale keys", web(`{"StringEquals":{"STALE:sub":"SUB","STALE:aud":"sts.amazonaws.com"}}`), stale, OtherIssuer, 0,
			"statement 1 allows demo/s3-reader by the keys of issuer " + strings.ToLower(testStale) + ", the cluster's is HOST",
		}, {
			"an issuer that is no cluster's", strings.ReplaceAll(web(`{}`), testHost, "token.actions.githubusercontent.com"), stale, NoStatement, -1,
			"no statement lets PROVIDER call WEB",
		}, {
			"no TagSession", expand(`{"Statement":{"Effect":"Allow","Principal":PODS,"Action":"sts:AssumeRole"}}`), podID, NoTagSession, 0,
			"statement 1 allows sts:AssumeRole, but nothing allows sts:TagSession, which EKS needs while session tags are on",
		}, {
			"Pod Identity, other subject", string(`{"Statement":` + string(pinnedElsewhere.Statement()) + `}`), podID, OtherSubject, 0,
			"statement 1 (" + pinnedElsewhere.Sid() + ") allows demo2/s3-reader, the pod is demo/s3-reader: aws:RequestTag/kubernetes-namespace differs",
		}, {
			"Pod Identity, other cluster", pods(`{"StringEquals":{"aws:RequestTag/eks-cluster-name":"irsa-lab"}}`), otherCluster, OtherCluster, 0,
			"statement 1 allows demo/s3-reader elsewhere: StringEquals wants aws:RequestTag/eks-cluster-name irsa-lab, it is irsa-two",
		}, {
			"tags off", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo"}}`), untagged, Other, 0,
			"statement 1 tests request tags, which EKS does not send with session tags off: StringEquals wants aws:RequestTag/kubernetes-namespace demo, the call does not carry it",
		}, {
			"another condition", pods(`{"StringEquals":{"sts:ExternalId":["a","b","c","d","e","f"]}}`), podID, Other, 0,
			"statement 1 comes close, but StringEquals wants sts:ExternalId a or b or c or d or 2 more, the call does not carry it",
		}, {
			"explicit deny", podsDeny(`{}`), podID, ExplicitDeny, 1, "statement 2 denies sts:AssumeRole, which no Allow can lift",
		}, {
			"unknowable", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:*:cluster/*"}}`), noARN, Unknowable, 0,
			"statement 1 allows it or not by aws:SourceArn, whose value lanyard cannot know",
		}, {
			"unknowable deny", podsDeny(`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), podID, Unknowable, 1,
			"statement 2 denies it or not by aws:SourceIp, whose value lanyard cannot know",
		}, {
			"unknowable comparison", pods(`{"StringEquals":{"aws:TagKeys":"x"}}`), podID, Unknowable, 0,
			"statement 1 allows it or not by StringEquals of aws:TagKeys, a key with several values that needs ForAllValues or ForAnyValue",
		}, {
			"unreadable value", web(`{"NumericEquals":{"HOST:aud":"x"}}`), irsa, Unknowable, 0,
			`statement 1 allows it or not by NumericEquals of HOST:aud: nobody says what AWS makes of the value "x"`,
		}, {
			"unknowable variable", pods(`{"StringEquals":{"aws:SourceAccount":"${aws:PrincipalArn}"}}`), podID, Unknowable, 0,
			"statement 1 allows it or not by StringEquals of aws:SourceAccount: a policy variable in ${aws:PrincipalArn} has a value that lanyard cannot know",
		}, {
			"another mapping's", `{"Statement":` + string(Grant{Mechanism: identity.PodIdentity, Subject: pinnedElsewhere.Subject, Cluster: testCluster, Width: identity.WidthAccount, SessionTags: true}.Statement()) + `}`, others, NoStatement, 0,
			"statement 1 (Lanyard2e51fb479ee58bc4) allows it, but is another mapping's of lanyard's and may go at any time",
		}, {
			"beyond the grammar", `{"Statement":{"Effect":"allow"}}`, irsa, BadDocument, -1, `trust policy line 1, column 24: Effect must be "Allow" or "Deny"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := mustParse(t, tt.doc).Evaluate(tt.req)
			want := expand(tt.reason)
			if v.Cause != tt.cause || v.Statement != tt.statement || v.Reason != want {
				t.Errorf("Evaluate\n doc  %s\n got  %v, statement %d: %s\n want %v, statement %d: %s", tt.doc, v.Cause, v.Statement, v.Reason, tt.cause, tt.statement, want)
			}
		})
	}
	var none *Document
	if v := none.Evaluate(irsa); v.Decision != Undecidable || v.Cause != BadDocument {
		t.Errorf("nil document: %+v, want undecidable for bad-document", v)
	}
	if v := new(Document).Evaluate(irsa); v.Decision != Undecidable || v.Cause != BadDocument {
		t.Errorf("zero document: %+v, want undecidable for bad-document", v)
	}
}

func TestIgnoreOthers(t *testing.T) {
	t.Parallel()
	mine := Grant{Mechanism: identity.PodIdentity, Subject: testSubject, Cluster: testCluster, Width: identity.WidthBare, SessionTags: true}
	theirs := mine
	theirs.Cluster.Name = "irsa-two"
	r := podID
	r.IgnoreOthers = true
	for _, tt := range []struct {
		name string
		doc  string
		want Decision
	}{
		{"mine", `{"Statement":` + string(mine.Statement()) + `}`, Allow},
		{"another cluster's", `{"Statement":` + string(theirs.Statement()) + `}`, Deny},
		{"nobody's", strings.Replace(`{"Statement":`+string(theirs.Statement())+`}`, theirs.Sid(), "x", 1), Allow},
		{"looks like lanyard's, but is not", strings.Replace(`{"Statement":`+string(theirs.Statement())+`}`, theirs.Sid(), "LanyardABCDEF0123456789", 1), Allow},
		{"a Deny always counts", `{"Statement":[` + string(mine.Statement()) + `,` + strings.Replace(string(theirs.Statement()), `"Allow"`, `"Deny"`, 1) + `]}`, Deny},
	} {
		d := mustParse(t, tt.doc)
		if v := d.Evaluate(r); v.Decision != tt.want {
			t.Errorf("%s: %s = %v (%s), want %v", tt.name, tt.doc, v.Decision, v.Reason, tt.want)
		}
	}
}

func TestExcess(t *testing.T) {
	t.Parallel()
	grant := func(m identity.Mechanism, w identity.Width) string {
		return `{"Statement":` + string(Grant{Mechanism: m, Subject: testSubject, Cluster: testCluster, Provider: testProvider, Audiences: []string{"sts.amazonaws.com"}, Width: w, SessionTags: true}.Statement()) + `}`
	}
	p, c, a, b := identity.WidthPinned, identity.WidthCluster, identity.WidthAccount, identity.WidthBare
	for _, tt := range []struct {
		name string
		doc  string
		req  Request
		w    identity.Width
		who  string // "" is no excess
	}{
		{"irsa pinned", grant(identity.IRSA, p), irsa, b, ""},
		{"irsa without sub", web(`{"StringEquals":{"HOST:aud":"sts.amazonaws.com"}}`), irsa, p, "any ServiceAccount of namespace demo"},
		{"irsa namespace", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:demo:*"}}`), irsa, p, "any ServiceAccount of namespace demo"},
		{"irsa any namespace", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:*:s3-reader"}}`), irsa, p, "a ServiceAccount s3-reader of any namespace"},
		{"irsa pattern", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:demo:s3-*"}}`), irsa, p, "other ServiceAccounts, for example demo/s3-x7c1f"},
		{"irsa question mark", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:demo:s3-reade?"}}`), irsa, p, "other ServiceAccounts, for example demo/s3-readeq"},
		{"irsa pattern over colons", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:d*r"}}`), irsa, p, "other ServiceAccounts, for example dx7c1f/y7c1fr"},
		{"irsa negation", web(`{"StringNotEquals":{"HOST:sub":"system:serviceaccount:demo:x"}}`), irsa, p, "any ServiceAccount of namespace demo"},
		{"irsa any issuer", expand(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*"}}`), irsa, p, "the ServiceAccount demo/s3-reader of any other cluster"},
		{"irsa shared by name", web(`{"StringEquals":{"HOST:sub":["SUB","system:serviceaccount:demo:other"]}}`), irsa, p, ""},
		{"pinned", grant(identity.PodIdentity, p), podID, p, ""},
		{"cluster for pinned", grant(identity.PodIdentity, c), podID, p, "any ServiceAccount of namespace demo"},
		{"cluster", grant(identity.PodIdentity, c), podID, c, ""},
		{"account for cluster", grant(identity.PodIdentity, a), podID, c, "any cluster of the account"},
		{"account", grant(identity.PodIdentity, a), podID, a, ""},
		{"bare for account", grant(identity.PodIdentity, b), podID, a, "clusters of other accounts"},
		{"bare", grant(identity.PodIdentity, b), podID, b, ""},
		{"by name only, for cluster", pods(`{"StringEquals":{"aws:RequestTag/eks-cluster-name":"irsa-lab","aws:SourceAccount":"123456789012"}}`), podID, c, "a cluster of the same name in another Region"},
		{"cluster pattern", pods(`{"StringLike":{"aws:RequestTag/eks-cluster-name":"irsa-*"},"StringEquals":{"aws:SourceAccount":"123456789012"},"ArnLike":{"aws:SourceArn":"arn:aws:eks:eu-central-1:*:cluster/*"}}`), podID, c, "other clusters, for example irsa-x7c1f"},
		{"ARN pattern", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:eu-central-1:123456789012:cluster/irsa-*"}}`), podID, c, "other clusters, for example arn:aws:eks:eu-central-1:123456789012:cluster/irsa-x7c1f"},
		{"name pattern", pods(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo","aws:SourceAccount":"123456789012","aws:RequestTag/eks-cluster-arn":"CLUSTERARN"},"StringLike":{"aws:RequestTag/kubernetes-service-account":"s3-*"}}`), podID, p, "other ServiceAccounts, for example demo/s3-x7c1f"},
		{"escape by tags off", pods(`{"StringEqualsIfExists":{"aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader","aws:RequestTag/eks-cluster-arn":"CLUSTERARN"},"StringEquals":{"aws:SourceAccount":"123456789012"}}`), podID, p, "any ServiceAccount of namespace demo"},
		{"not sure", pods(`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), podID, p, ""},
		{"no document", `{"Statement":[]}`, podID, p, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, got := mustParse(t, tt.doc).Excess(tt.req, tt.w)
			if got != (tt.who != "") || got && !strings.HasSuffix(v.Reason, " also allows "+tt.who) {
				t.Errorf("Excess\n doc  %s\n got  %v %q\n want %q", tt.doc, got, v.Reason, tt.who)
			}
		})
	}

	// Own statements count under IgnoreOthers, others' do not.
	r := podID
	r.IgnoreOthers = true
	if _, ok := mustParse(t, grant(identity.PodIdentity, b)).Excess(r, p); !ok {
		t.Error("an own statement that is too wide is no excess, want it told")
	}
	r.Subject.ServiceAccount = "other"
	if v, ok := mustParse(t, grant(identity.PodIdentity, b)).Excess(r, p); ok {
		t.Errorf("another mapping's statement is excess: %s", v.Reason)
	}
}
