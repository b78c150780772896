package trust

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/internal/identity"
)

func TestLint(t *testing.T) {
	t.Parallel()
	const (
		good = `"StringEquals":{"HOST:sub":"SUB","HOST:aud":"sts.amazonaws.com"}`
		both = `"Action":["sts:AssumeRole","sts:TagSession"]`
		full = `"aws:SourceAccount":"123456789012","aws:RequestTag/eks-cluster-arn":"CLUSTERARN","aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader"`
	)
	fed := func(condition string) string {
		return `{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB","Condition":{` + condition + `}}`
	}
	eks := func(action, condition string) string {
		return `{"Effect":"Allow","Principal":PODS,` + action + `,"Condition":{` + condition + `}}`
	}
	deny := func(s string) string { return strings.Replace(s, `"Allow"`, `"Deny"`, 1) }
	own := LintOptions{Cluster: testCluster}
	shown := map[Check]bool{}
	for _, tt := range []struct {
		name, stmt string
		o          LintOptions
		want       []Check
		text       string // in the first message
	}{
		{name: "IRSA in order", stmt: fed(good), o: LintOptions{Cluster: testCluster, Providers: []string{testProvider}}},
		{name: "Pod Identity in order", stmt: eks(both, `"StringEquals":{`+full+`}`), o: own},
		{name: "lanyard's own", stmt: string(grantOf(identity.PodIdentity, identity.WidthPinned).Statement()), o: own},
		{name: "no business of lint's", stmt: foreign, o: own},
		{name: "a pipeline", stmt: `{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},"Action":"WEB","Condition":{"StringLike":{"token.actions.githubusercontent.com:sub":"repo:x/*"}}}`, o: own},

		{name: "invalid", stmt: `{}`, want: []Check{CheckInvalid}, text: "the statement has no Effect"},

		{name: "no sub", stmt: fed(`"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSubjectMissing}, text: "every ServiceAccount of the cluster"},
		{name: "sub is present", stmt: fed(`"Null":{"HOST:sub":"false"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSubjectMissing}},
		{name: "no sub in a Deny", stmt: deny(fed(`"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`))},
		{name: "wide sub", stmt: fed(`"StringLike":{"HOST:sub":"system:serviceaccount:demo:*","HOST:aud":"s?s.amazonaws.com"}`), want: []Check{CheckSubjectWide}, text: "whoever matches system:serviceaccount:demo:*"},
		{name: "wide sub beside an exact one", stmt: fed(`"StringLike":{"HOST:sub":"system:*"},` + good)},
		{name: "variable sub", stmt: fed(`"StringEquals":{"HOST:sub":"${HOST:aud}","HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSubjectWide}},
		{name: "negated sub", stmt: fed(`"StringNotEquals":{"HOST:sub":"SUB"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSubjectWide}, text: "all but some"},
		{name: "optional sub", stmt: fed(`"StringEqualsIfExists":{"HOST:sub":"SUB"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSubjectWide}},
		{name: "sub of a set", stmt: fed(`"ForAllValues:StringEquals":{"HOST:sub":"SUB"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSubjectWide}},
		{name: "no aud", stmt: fed(`"StringEquals":{"HOST:sub":"SUB"}`), want: []Check{CheckAudienceMissing}, text: "tokens of any audience"},
		{name: "like", stmt: fed(`"StringLike":{"HOST:sub":"SUB"},"StringEquals":{"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckLikeWithout}, text: "HOST:sub by StringLike without a wildcard"},
		{name: "several", stmt: fed(`"StringEquals":{"HOST:sub":["SUB","x"],"HOST:aud":"sts.amazonaws.com"}`), want: []Check{CheckSeveralSubjects}, text: "SUB or x"},
		{name: "one of two issuers", stmt: strings.ReplaceAll(fed(good), "HOST", "STALE"), o: own, want: []Check{CheckNeverHolds, CheckNeverHolds}, text: "does not carry STALE:sub"},
		{name: "foreign", stmt: strings.NewReplacer("HOST", "STALE", "PROVIDER", "arn:aws:iam::123456789012:oidc-provider/STALE").Replace(fed(good)), o: own, want: []Check{CheckIssuerForeign}, text: "another cluster than irsa-lab"},
		{name: "foreign to nobody", stmt: strings.NewReplacer("HOST", "STALE", "PROVIDER", "arn:aws:iam::123456789012:oidc-provider/STALE").Replace(fed(good))},
		{name: "stale", stmt: fed(good), o: LintOptions{Providers: []string{}}, want: []Check{CheckIssuerStale}, text: "is no OIDC provider of the account"},
		{name: "with scheme", stmt: strings.ReplaceAll(fed(good), "HOST", "https://HOST"), want: []Check{CheckIssuerKey, CheckIssuerKey}, text: "tests https://HOST:sub, a key that no request carries"},
		{name: "with slash", stmt: strings.ReplaceAll(fed(good), "HOST", "HOST/"), want: []Check{CheckIssuerKey, CheckIssuerKey}},

		{name: "bare", stmt: eks(both, ""), want: []Check{CheckPodIdentityWide}, text: "tests no aws:RequestTag/eks-cluster-arn"},
		{name: "bare as asked", stmt: eks(both, ""), o: LintOptions{Width: identity.WidthBare}},
		{name: "bare, account asked", stmt: eks(both, ""), o: LintOptions{Width: identity.WidthAccount}, want: []Check{CheckPodIdentityWide}, text: "tests no aws:SourceAccount"},
		{name: "account", stmt: eks(both, `"StringEquals":{"aws:SourceAccount":"123456789012"}`), want: []Check{CheckPodIdentityWide}},
		{name: "cluster", stmt: eks(both, `"ArnEquals":{"aws:SourceArn":"CLUSTERARN"}`), want: []Check{CheckPodIdentityWide}, text: "kubernetes-namespace"},
		{name: "namespace", stmt: eks(both, `"StringEquals":{"aws:RequestTag/eks-cluster-name":"irsa-lab","aws:RequestTag/kubernetes-namespace":"demo"}`), want: []Check{CheckPodIdentityWide}, text: "kubernetes-service-account"},
		{name: "namespace, cluster asked", stmt: eks(both, `"StringEquals":{"aws:RequestTag/eks-cluster-name":"irsa-lab","aws:RequestTag/kubernetes-namespace":"demo"}`), o: LintOptions{Width: identity.WidthCluster}},
		{name: "pattern", stmt: eks(both, `"StringLike":{"aws:RequestTag/kubernetes-service-account":"*"},"StringEquals":{"aws:RequestTag/eks-cluster-name":"irsa-lab","aws:RequestTag/kubernetes-namespace":"demo"}`), want: []Check{CheckPodIdentityWide}},
		{name: "several accounts", stmt: eks(both, `"StringEquals":{`+strings.Replace(full, `"s3-reader"`, `["s3-reader","x"]`, 1)+`}`), want: []Check{CheckSeveralSubjects}, text: "several ServiceAccounts: s3-reader or x"},
		{name: "several namespaces", stmt: eks(both, `"StringEquals":{`+strings.Replace(full, `"demo"`, `["demo","x"]`, 1)+`}`), want: []Check{CheckSeveralSubjects}, text: "several namespaces: demo or x"},
		{name: "no TagSession", stmt: eks(`"Action":"sts:AssumeRole"`, `"StringEquals":{`+full+`}`), want: []Check{CheckTagSession}, text: "nothing allows sts:TagSession"},
		{name: "TagSession apart", stmt: eks(`"Action":"sts:AssumeRole"`, `"StringEquals":{`+full+`}`) + "," + eks(`"Action":"sts:TagSession"`, "")},
		{name: "no TagSession in a Deny", stmt: deny(eks(`"Action":"sts:AssumeRole"`, ""))},
		{name: "organisation of a service", stmt: eks(both, `"StringEquals":{`+full+`,"aws:PrincipalOrgID":"o-a1b2c3d4e5"}`), want: []Check{CheckNeverHolds}, text: "lets in nobody: a service principal's call does not carry aws:PrincipalOrgID"},
		{name: "external id of a service", stmt: eks(both, `"StringEquals":{`+full+`,"sts:ExternalId":"x"}`), want: []Check{CheckNeverHolds}},
		{name: "must be there", stmt: eks(both, `"StringEquals":{`+full+`},"Null":{"aws:PrincipalTag/x":"false"}`), want: []Check{CheckNeverHolds}},
		{name: "must not be there", stmt: eks(both, `"StringEquals":{`+full+`},"Null":{"aws:PrincipalTag/x":"true"},"StringNotEquals":{"aws:PrincipalOrgID":"x"}`)},
		{name: "Deny of nobody", stmt: deny(eks(both, `"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}`)), want: []Check{CheckNeverHolds}, text: "denies nobody"},
		{name: "source of a web identity", stmt: fed(good + `,"ArnLike":{"aws:SourceArn":"*"}`), want: []Check{CheckNeverHolds}, text: "an AssumeRoleWithWebIdentity call"},
		{name: "key of others", stmt: `{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"x"}}}`},
		{name: "key of several", stmt: deny(strings.Replace(eks(both, `"StringEquals":{"aws:PrincipalOrgID":"x"}`), "PODS", `{"Service":["pods.eks.amazonaws.com","ec2.amazonaws.com"]}`, 1))},
		{name: "association", stmt: eks(both, `"StringEquals":{`+full+`},"ArnLike":{"aws:SourceArn":"arn:aws:eks:eu-central-1:123456789012:podidentityassociation/irsa-lab/*"}`), want: []Check{CheckAssociationARN}, text: "EKS sends the cluster's"},
		{name: "deleted", stmt: strings.Replace(foreign, "arn:aws:iam::123456789012:root", "AROAEXAMPLEEXAMPLE123", 1), want: []Check{CheckDeleted}, text: "names the deleted principal AROAEXAMPLEEXAMPLE123"},
	} {
		d := mustParse(t, expand(`{"Version":"2012-10-17","Statement":[`+tt.stmt+`]}`))
		var got []Check
		for _, l := range d.Lint(tt.o) {
			got = append(got, l.Check)
			shown[l.Check] = true
			if l.Severity == "" || l.Message == "" || l.Instead == "" || l.Statement < 0 && l.Check != CheckInvalid {
				t.Errorf("%s: %+v says too little", tt.name, l)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: Lint(%s): -want +got\n%s", tt.name, d.Text(), diff)
		} else if tt.text != "" && !strings.Contains(d.Lint(tt.o)[0].Message, expand(tt.text)) {
			t.Errorf("%s: Lint says %q, want %q in it", tt.name, d.Lint(tt.o)[0].Message, expand(tt.text))
		}
	}
	for _, c := range Checks() {
		if !shown[c] {
			t.Errorf("no row shows %s", c)
		}
	}
}

// Every check has its paragraph in docs/trust.md, and the list there is closed.
func TestChecksAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, c := range Checks() {
		want = append(want, string(c))
	}
	_, section, _ := strings.Cut(string(page), "\n## Lint\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if name, ok := strings.CutPrefix(line, "### `"); ok {
			name, _, _ = strings.Cut(name, "`")
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/trust.md, section Lint: -checks +paragraphs\n%s", diff)
	}
	if slices.Contains(got, "") {
		t.Error("a paragraph has no name")
	}
}
