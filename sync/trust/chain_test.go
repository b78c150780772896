package trust

import (
	"strings"
	"testing"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

var (
	testCaller = identity.RoleARN{Partition: "aws", Account: "123456789012", Path: "/team/", Name: "reader"}
	testTarget = identity.RoleARN{Partition: "aws", Account: "210987654321", Path: "/", Name: "bucket"}

	tagged   = ChainRequest{Caller: testCaller, Target: testTarget, Subject: testSubject, Cluster: testCluster, SessionTags: true}
	byID     = ChainRequest{Caller: testCaller, Target: testTarget, Subject: testSubject, Cluster: testCluster, ExternalID: testExternalID}
	idHidden = ChainRequest{Caller: testCaller, Target: testTarget, Subject: testSubject, Cluster: testCluster}
)

const testExternalID = "eu-central-1/123456789012/irsa-lab/demo/s3-reader"

// chain fills in the short names of a target's document.
func chain(s string) string {
	return expand(strings.NewReplacer(
		"CALLER", "arn:aws:iam::123456789012:role/team/reader", "ROOT", "arn:aws:iam::123456789012:root",
		"SESSION", "arn:aws:sts::123456789012:assumed-role/reader/eks-1", "EXTERNAL", testExternalID,
	).Replace(s))
}

const bothCalls = `["sts:AssumeRole","sts:TagSession"]`

// trusting is a document that trusts a principal under a condition.
func trusting(principal, condition string) string {
	return chain(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":` + bothCalls + `,"Condition":` + condition + `}}`)
}

// calling trusts the caller under a condition.
func calling(condition string) string { return trusting(`{"AWS":"CALLER"}`, condition) }

// refusing trusts the caller and denies by a statement's head and condition.
func refusing(head, condition string) string {
	return chain(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"CALLER"},"Action":` + bothCalls + `},
		{"Effect":"Deny",` + head + `,"Action":"*","Condition":` + condition + `}]}`)
}

type chainRow struct {
	name  string
	doc   string
	req   ChainRequest
	want  Decision
	cause Cause
}

// The two documents of
// https://docs.aws.amazon.com/eks/latest/userguide/pod-id-assign-target-role.html
var (
	guideTagged = trusting(`{"AWS":"ROOT"}`, `{"StringEquals":{"aws:RequestTag/eks-cluster-arn":"CLUSTERARN","aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader"},"ArnEquals":{"aws:PrincipalARN":"CALLER"}}`)
	guideByID   = chain(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"ROOT"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"EXTERNAL"},"ArnEquals":{"aws:PrincipalARN":"CALLER"}}},
		{"Effect":"Allow","Principal":{"AWS":"ROOT"},"Action":"sts:TagSession"}]}`)
)

func chainRows() []chainRow {
	with := func(r ChainRequest, change func(*ChainRequest)) ChainRequest { change(&r); return r }
	inOrg := with(tagged, func(r *ChainRequest) { r.OrgID = "o-a1b2c3d4e5" })
	atHome := with(inOrg, func(r *ChainRequest) { r.Target.Account = r.Caller.Account })
	nowhere := with(tagged, func(r *ChainRequest) { r.Target = identity.RoleARN{} })
	other := with(tagged, func(r *ChainRequest) { r.Subject.ServiceAccount = "s3-writer" })
	otherCaller := with(tagged, func(r *ChainRequest) { r.Caller.Path = "/" })
	otherID := with(byID, func(r *ChainRequest) { r.ExternalID = "eu-central-1/123456789012/irsa-lab/demo/other" })
	at := with(tagged, func(r *ChainRequest) { r.Now = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) })
	assumeOnly := chain(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"CALLER"},"Action":"sts:AssumeRole"}}`)
	tagOnly := chain(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"CALLER"},"Action":"sts:TagSession"}}`)
	return []chainRow{
		{"guide, with tags", guideTagged, tagged, Allow, NoCause},
		{"guide, with tags, another ServiceAccount", guideTagged, other, Deny, OtherSubject},
		{"guide, with tags, another role", guideTagged, otherCaller, Deny, Other},
		{"guide, with tags, tags off", guideTagged, byID, Deny, Other},
		{"guide, by external ID", guideByID, byID, Allow, NoCause},
		{"guide, by external ID, another", guideByID, otherID, Deny, Other},
		{"guide, by external ID, before the association", guideByID, idHidden, Undecidable, Unknowable},
		{"guide, by external ID, tags on", guideByID, tagged, Undecidable, Unknowable},
		{"any external ID, tags off", calling(`{"StringLike":{"sts:ExternalId":"*"}}`), idHidden, Allow, NoCause},
		{"an external ID is there, tags off", calling(`{"Null":{"sts:ExternalId":"false"}}`), idHidden, Allow, NoCause},
		{"an external ID is there, tags on", calling(`{"Null":{"sts:ExternalId":"false"}}`), tagged, Undecidable, Unknowable},
		{"deny without external ID", refusing(`"Principal":"*"`, `{"Null":{"sts:ExternalId":"true"}}`), idHidden, Allow, NoCause},

		{"role", calling(`{}`), tagged, Allow, NoCause},
		{"role, in list", trusting(`{"AWS":["210987654321","CALLER"]}`, `{}`), tagged, Allow, NoCause},
		{"role of another path", calling(`{}`), otherCaller, Deny, NoStatement},
		{"role in another case", trusting(`{"AWS":"arn:aws:iam::123456789012:role/team/Reader"}`, `{}`), tagged, Deny, NoStatement},
		{"account root", trusting(`{"AWS":"ROOT"}`, `{}`), tagged, Allow, NoCause},
		{"account number", trusting(`{"AWS":"123456789012"}`, `{}`), byID, Allow, NoCause},
		{"another account", trusting(`{"AWS":"arn:aws:iam::210987654321:root"}`, `{}`), tagged, Deny, NoStatement},
		{"another partition", trusting(`{"AWS":"arn:aws-cn:iam::123456789012:root"}`, `{}`), tagged, Deny, NoStatement},
		{"everyone", trusting(`"*"`, `{}`), tagged, Allow, NoCause},
		{"everyone as AWS", trusting(`{"AWS":"*"}`, `{}`), tagged, Allow, NoCause},
		{"no part of a name", trusting(`{"AWS":"arn:aws:iam::123456789012:role/*"}`, `{}`), tagged, Deny, NoStatement},
		{"a user of the name", trusting(`{"AWS":"arn:aws:iam::123456789012:user/team/reader"}`, `{}`), tagged, Deny, NoStatement},
		{"a session of the role", trusting(`{"AWS":"SESSION"}`, `{}`), tagged, Undecidable, Unknowable},
		{"a session of another role", trusting(`{"AWS":"arn:aws:sts::123456789012:assumed-role/readers/x"}`, `{}`), tagged, Deny, NoStatement},
		{"the EKS service is not the caller", trusting(`PODS`, `{}`), tagged, Deny, NoStatement},
		{"an OIDC provider is not the caller", trusting(`{"Federated":"PROVIDER"}`, `{}`), tagged, Deny, NoStatement},
		{"deny of the role", refusing(`"Principal":{"AWS":"CALLER"}`, `{}`), tagged, Deny, ExplicitDeny},
		{"deny of the account", refusing(`"Principal":{"AWS":"123456789012"}`, `{}`), tagged, Deny, ExplicitDeny},
		{"deny of a session", refusing(`"Principal":{"AWS":"SESSION"}`, `{}`), tagged, Undecidable, Unknowable},
		{"deny of others", refusing(`"NotPrincipal":{"AWS":["CALLER","ROOT"]}`, `{}`), tagged, Undecidable, Unknowable},
		{"deny of all but strangers", refusing(`"NotPrincipal":{"AWS":"210987654321"}`, `{}`), tagged, Deny, ExplicitDeny},
		{"deny of nobody", refusing(`"NotPrincipal":"*"`, `{}`), tagged, Allow, NoCause},

		{"no TagSession, tags on", assumeOnly, tagged, Deny, NoTagSession},
		{"no TagSession, tags off", assumeOnly, byID, Allow, NoCause},
		{"no AssumeRole", tagOnly, tagged, Deny, NoStatement},
		{"web identity is another call", chain(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"WEB"}}`), tagged, Deny, NoStatement},

		{"role's ARN as condition", trusting(`"*"`, `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/team/*"}}`), tagged, Allow, NoCause},
		{"role's account as condition", trusting(`"*"`, `{"StringEquals":{"aws:PrincipalAccount":"210987654321"}}`), tagged, Deny, Other},
		{"kind of caller", calling(`{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}`), tagged, Allow, NoCause},
		{"session's id", calling(`{"StringLike":{"aws:userid":"AROAEXAMPLE:*"}}`), tagged, Undecidable, Unknowable},
		{"no user name", calling(`{"Null":{"aws:username":"true"}}`), tagged, Allow, NoCause},
		{"MFA", calling(`{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}`), tagged, Undecidable, Unknowable},
		{"called by no service", refusing(`"Principal":"*"`, `{"Bool":{"aws:PrincipalIsAWSService":"true"}}`), tagged, Allow, NoCause},
		{"source account is not sent", calling(`{"StringEquals":{"aws:SourceAccount":"123456789012"}}`), tagged, Deny, OtherCluster},
		{"source ARN is not sent", calling(`{"ArnLikeIfExists":{"aws:SourceArn":"arn:aws:s3:::x"}}`), tagged, Allow, NoCause},
		{"issuer's keys are not sent", calling(`{"StringEquals":{"HOST:sub":"SUB"}}`), tagged, Deny, Other},
		{"organisation, unknown", trusting(`"*"`, `{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}`), tagged, Undecidable, Unknowable},
		{"organisation", trusting(`"*"`, `{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}`), inOrg, Allow, NoCause},
		{"organisation of another", trusting(`"*"`, `{"StringEquals":{"aws:PrincipalOrgID":"o-0000000000"}}`), inOrg, Deny, Other},
		{"organisation of a target elsewhere", calling(`{"StringEquals":{"aws:PrincipalOrgID":"${aws:ResourceOrgID}"}}`), inOrg, Undecidable, Unknowable},
		{"organisation of a target at home", calling(`{"StringEquals":{"aws:PrincipalOrgID":"${aws:ResourceOrgID}"}}`), atHome, Allow, NoCause},
		{"target's account", calling(`{"StringEquals":{"aws:ResourceAccount":"210987654321"}}`), tagged, Allow, NoCause},
		{"target's account, unknown", calling(`{"StringEquals":{"aws:ResourceAccount":"210987654321"}}`), nowhere, Undecidable, Unknowable},

		{"inherited tag of the caller", calling(`{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"demo"}}`), tagged, Allow, NoCause},
		{"inherited tag in another case", calling(`{"StringEquals":{"AWS:principaltag/Kubernetes-Namespace":"demo"}}`), tagged, Allow, NoCause},
		{"inherited tag of another", calling(`{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"prod"}}`), tagged, Deny, Other},
		{"inherited pod name", calling(`{"StringLike":{"aws:PrincipalTag/kubernetes-pod-name":"s3-*"}}`), tagged, Undecidable, Unknowable},
		{"tags off, but the role may have such a tag", calling(`{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"demo"}}`), byID, Undecidable, Unknowable},
		{"role's own tag", calling(`{"StringEquals":{"aws:PrincipalTag/team":"x"}}`), tagged, Undecidable, Unknowable},
		{"role's own tag named like an issuer's key", calling(`{"StringEquals":{"aws:PrincipalTag/x:sub":"x"}}`), tagged, Undecidable, Unknowable},
		{"request tag as variable", calling(`{"StringEquals":{"aws:RequestTag/eks-cluster-name":"${aws:PrincipalTag/eks-cluster-name}"}}`), tagged, Allow, NoCause},
		{"request tag that EKS does not send", calling(`{"StringEquals":{"aws:RequestTag/team":"x"}}`), tagged, Deny, Other},
		{"tag keys", calling(`{"ForAllValues:StringLike":{"aws:TagKeys":["eks-*","kubernetes-*"]}}`), tagged, Undecidable, Unknowable},
		{"tag keys, tags off", calling(`{"ForAllValues:StringEquals":{"aws:TagKeys":["x"]}}`), byID, Allow, NoCause},
		{"transitive keys", calling(`{"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"eks-cluster-arn"}}`), tagged, Undecidable, Unknowable},
		{"session name", calling(`{"StringLike":{"sts:RoleSessionName":"eks-*"}}`), tagged, Undecidable, Unknowable},
		{"time, known", calling(`{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}`), at, Allow, NoCause},
		{"unknown beside what fails", calling(`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"},"StringEquals":{"aws:PrincipalAccount":"210987654321"}}`), tagged, Deny, Other},
		{"beyond the grammar", chain(`{"Statement":{"Effect":"Allow","Principal":{"AWS":"CALLER"}}}`), tagged, Undecidable, BadDocument},
	}
}

func TestEvaluateChain(t *testing.T) {
	t.Parallel()
	for _, tt := range chainRows() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := mustParse(t, tt.doc).EvaluateChain(tt.req)
			if v.Decision != tt.want || v.Cause != tt.cause || v.Reason == "" {
				t.Errorf("EvaluateChain\n doc  %s\n req  %+v\n got  %v (%v: %s)\n want %v (%v)", tt.doc, tt.req, v.Decision, v.Cause, v.Reason, tt.want, tt.cause)
			}
		})
	}
}

// TestChainUnknownsStayDecided: what is decided without the external ID, the
// organisation or the target's account is decided the same with whichever they are.
func TestChainUnknownsStayDecided(t *testing.T) {
	t.Parallel()
	for _, tt := range chainRows() {
		d, r := mustParse(t, tt.doc), tt.req
		r.ExternalID, r.OrgID, r.Target = "", "", identity.RoleARN{}
		v := d.EvaluateChain(r)
		if v.Decision == Undecidable {
			continue
		}
		for _, id := range []string{testExternalID, "x"} {
			for _, org := range []string{"o-a1b2c3d4e5", "o-0000000000"} {
				for _, target := range []identity.RoleARN{testTarget, testCaller} {
					r.ExternalID, r.OrgID, r.Target = id, org, target
					if w := d.EvaluateChain(r); w.Decision != v.Decision {
						t.Errorf("%s: %v without the values, %v (%s) with %+v", tt.name, v.Decision, w.Decision, w.Reason, r)
					}
				}
			}
		}
	}
}

// TestChainIsNoFirstCall: the keys and principals of the second call mean nothing
// to the first, and the other way round.
func TestChainIsNoFirstCall(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{guideTagged, guideByID, calling(`{}`)} {
		if v := mustParse(t, doc).Evaluate(podID); v.Decision != Deny {
			t.Errorf("the first call on %s: %v (%s), want deny", doc, v.Decision, v.Reason)
		}
	}
	for _, condition := range []string{`{"StringEquals":{"sts:ExternalId":"EXTERNAL"}}`, `{"StringEquals":{"aws:PrincipalTag/kubernetes-namespace":"demo"}}`} {
		for _, r := range []Request{irsa, podID, untagged} {
			if v := mustParse(t, trusting(`"*"`, condition)).Evaluate(r); v.Decision != Deny {
				t.Errorf("%v with %s: %v (%s), want deny", r.Mechanism, condition, v.Decision, v.Reason)
			}
		}
	}
}

func TestChainReasons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, doc string
		req       ChainRequest
		want      string
	}{
		{"no statement", trusting(`PODS`, `{}`), tagged, "no statement lets arn:aws:iam::123456789012:role/team/reader call sts:AssumeRole"},
		{"external ID", guideByID, idHidden, "statement 1 allows it or not by sts:ExternalId, which EKS makes up when it creates the association"},
		{"external ID with tags", guideByID, tagged, "statement 1 allows it or not by sts:ExternalId, whose value lanyard cannot know"},
		{"session", trusting(`{"AWS":"SESSION"}`, `{}`), tagged, "statement 1 allows it or not by its principals: whether they cover the session in which EKS calls cannot be told"},
		{"role", guideTagged, ChainRequest{Caller: testTarget, SessionTags: true}, "no statement lets arn:aws:iam::210987654321:role/bucket call sts:AssumeRole"},
		{"tag session", chain(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}`), tagged,
			"statement 1 allows sts:AssumeRole, but nothing allows sts:TagSession, which EKS needs while session tags are on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if v := mustParse(t, tt.doc).EvaluateChain(tt.req); v.Reason != tt.want {
				t.Errorf("doc %s\ngot  %s\nwant %s", tt.doc, v.Reason, tt.want)
			}
		})
	}
}
