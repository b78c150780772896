package trust

import (
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/identity"
)

const (
	testHost     = "oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF"
	testStale    = "oidc.eks.eu-central-1.amazonaws.com/id/FEDCBA9876543210FEDCBA9876543210"
	testProvider = "arn:aws:iam::123456789012:oidc-provider/" + testHost
	testARN      = "arn:aws:eks:eu-central-1:123456789012:cluster/irsa-lab"
)

var (
	testCluster = identity.Cluster{Name: "irsa-lab", Region: "eu-central-1", Account: "123456789012", Partition: "aws", Issuer: "https://" + testHost}
	testSubject = identity.Subject{Namespace: "demo", ServiceAccount: "s3-reader"}
	irsa        = Request{Mechanism: identity.IRSA, Subject: testSubject, Cluster: testCluster, Provider: testProvider, Audience: "sts.amazonaws.com"}
	podID       = Request{Mechanism: identity.PodIdentity, Subject: testSubject, Cluster: testCluster, SessionTags: true, SourceARN: testARN}
	untagged    = Request{Mechanism: identity.PodIdentity, Subject: testSubject, Cluster: testCluster, SourceARN: testARN}
)

// expand fills in the short names that keep the tables readable.
func expand(s string) string {
	return strings.NewReplacer(
		"HOST", testHost, "STALE", testStale, "PROVIDER", testProvider, "CLUSTERARN", testARN,
		"WEB", "sts:AssumeRoleWithWebIdentity", "PODS", `{"Service":"pods.eks.amazonaws.com"}`,
		"SUB", "system:serviceaccount:demo:s3-reader",
	).Replace(s)
}

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return d
}

// web wraps a condition in a document that trusts the test cluster's provider.
func web(condition string) string {
	return expand(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB","Condition":` + condition + `}]}`)
}

// webDeny allows everything, and denies under a condition.
func webDeny(condition string) string {
	return expand(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"Federated":"PROVIDER"},"Action":"WEB"},
		{"Effect":"Deny","Principal":{"Federated":"PROVIDER"},"Action":"WEB","Condition":` + condition + `}]}`)
}

// pods wraps a condition in a document that trusts EKS Pod Identity.
func pods(condition string) string {
	return expand(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":PODS,"Action":["sts:AssumeRole","sts:TagSession"],"Condition":` + condition + `}]}`)
}

func podsDeny(condition string) string {
	return expand(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":PODS,"Action":["sts:AssumeRole","sts:TagSession"]},
		{"Effect":"Deny","Principal":"*","Action":"*","Condition":` + condition + `}]}`)
}

type row struct {
	name string
	doc  string
	req  Request
	want Decision
}

func run(t *testing.T, rows []row) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := mustParse(t, tt.doc)
			if err := d.Valid(); err != nil {
				t.Fatalf("Valid(%s) = %v", tt.doc, err)
			}
			v := d.Evaluate(tt.req)
			if v.Decision != tt.want {
				t.Errorf("Evaluate\n doc  %s\n req  %+v\n got  %v (%v: %s)\n want %v", tt.doc, tt.req, v.Decision, v.Cause, v.Reason, tt.want)
			}
			if (v.Decision == Allow) != (v.Cause == NoCause) || v.Reason == "" {
				t.Errorf("verdict %+v: a cause and a reason belong to every answer, a cause to all but allow", v)
			}
		})
	}
}

func TestPrincipalAndAction(t *testing.T) {
	t.Parallel()
	doc := func(principal, action string) string {
		return expand(`{"Statement":{"Effect":"Allow",` + principal + `,` + action + `}}`)
	}
	deny := func(principal, action string) string {
		return expand(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*"},{"Effect":"Deny",` + principal + `,` + action + `}]}`)
	}
	const fed, webAction = `"Principal":{"Federated":"PROVIDER"}`, `"Action":"WEB"`
	const svc, both = `"Principal":PODS`, `"Action":["sts:AssumeRole","sts:TagSession"]`
	china := irsa
	china.Provider = "arn:aws-cn:iam::123456789012:oidc-provider/" + testHost
	run(t, []row{
		{"provider as string", doc(fed, webAction), irsa, Allow},
		{"provider in list", doc(`"Principal":{"Federated":["x","PROVIDER"]}`, webAction), irsa, Allow},
		{"provider among kinds", doc(`"Principal":{"AWS":"123456789012","Federated":"PROVIDER"}`, webAction), irsa, Allow},
		{"everyone", doc(`"Principal":"*"`, webAction), irsa, Allow},
		{"everyone as AWS", doc(`"Principal":{"AWS":"*"}`, webAction), irsa, Allow},
		{"everyone for the service", doc(`"Principal":"*"`, both), podID, Allow},
		{"federated star is a name", doc(`"Principal":{"Federated":"*"}`, webAction), irsa, Deny},
		{"part of a name is no wildcard", doc(`"Principal":{"Federated":"arn:aws:iam::123456789012:oidc-provider/*"}`, webAction), irsa, Deny},
		{"account of the provider", doc(`"Principal":{"AWS":"arn:aws:iam::123456789012:root"}`, webAction), irsa, Deny},
		{"provider of another account", doc(`"Principal":{"Federated":"arn:aws:iam::210987654321:oidc-provider/HOST"}`, webAction), irsa, Deny},
		{"provider of another partition", doc(fed, webAction), china, Deny},
		{"provider in lower case", doc(`"Principal":{"Federated":"`+strings.ToLower(testProvider)+`"}`, webAction), irsa, Deny},
		{"service", doc(svc, both), podID, Allow},
		{"service in another case", doc(`"Principal":{"Service":"Pods.eks.amazonaws.com"}`, both), podID, Deny},
		{"other service", doc(`"Principal":{"Service":"ec2.amazonaws.com"}`, both), podID, Deny},
		{"service as federated", doc(`"Principal":{"Federated":"pods.eks.amazonaws.com"}`, both), podID, Deny},
		{"one mechanism is not the other", doc(svc, both), irsa, Deny},
		{"the other is not the one", doc(fed, `"Action":"sts:*"`), podID, Deny},

		{"action in any case", doc(fed, `"Action":"STS:assumerolewithwebidentity"`), irsa, Allow},
		{"action wildcard", doc(fed, `"Action":"sts:AssumeRole*"`), irsa, Allow},
		{"action question mark", doc(fed, `"Action":"sts:AssumeRoleWith?ebIdentity"`), irsa, Allow},
		{"vendor wildcard", doc(fed, `"Action":"*:*"`), irsa, Allow},
		{"all actions", doc(fed, `"Action":"*"`), irsa, Allow},
		{"AssumeRole is not the web one", doc(fed, `"Action":"sts:AssumeRole"`), irsa, Deny},
		{"not another action", doc(fed, `"NotAction":"sts:AssumeRole"`), irsa, Allow},
		{"not this action", doc(fed, `"NotAction":["sts:X","sts:assumerolewith*"]`), irsa, Deny},
		{"no TagSession", doc(svc, `"Action":"sts:AssumeRole"`), podID, Deny},
		{"no TagSession needed", doc(svc, `"Action":"sts:AssumeRole"`), untagged, Allow},
		{"no AssumeRole", doc(svc, `"Action":"sts:TagSession"`), podID, Deny},
		{"TagSession alone without tags", doc(svc, `"Action":"sts:TagSession"`), untagged, Deny},
		{"two calls by two statements", expand(`{"Statement":[{"Effect":"Allow",` + svc + `,"Action":"sts:AssumeRole"},{"Effect":"Allow",` + svc + `,"Action":"sts:TagSession"}]}`), podID, Allow},

		{"deny for everyone", deny(`"Principal":"*"`, `"Action":"sts:*"`), irsa, Deny},
		{"deny of another action", deny(`"Principal":"*"`, `"Action":"sts:TagSession"`), irsa, Allow},
		{"deny of TagSession", deny(`"Principal":"*"`, `"Action":"sts:TagSession"`), podID, Deny},
		{"deny of TagSession without tags", deny(`"Principal":"*"`, `"Action":"sts:TagSession"`), untagged, Allow},
		{"deny by NotAction", deny(`"Principal":"*"`, `"NotAction":"sts:TagSession"`), irsa, Deny},
		{"deny of others", deny(`"NotPrincipal":{"Federated":"PROVIDER"}`, `"Action":"*"`), irsa, Allow},
		{"deny of all but another", deny(`"NotPrincipal":{"Federated":"x"}`, `"Action":"*"`), irsa, Deny},
		{"deny of all but the service", deny(`"NotPrincipal":PODS`, `"Action":"*"`), podID, Allow},
		{"deny of all but the service hits the web", deny(`"NotPrincipal":PODS`, `"Action":"*"`), irsa, Deny},
		{"deny of all but everyone", deny(`"NotPrincipal":"*"`, `"Action":"*"`), irsa, Allow},
		{"neither mechanism", doc(`"Principal":"*"`, `"Action":"*"`), Request{Subject: testSubject}, Deny},
	})
}

func TestIRSAConditions(t *testing.T) {
	t.Parallel()
	gov := irsa
	gov.Cluster.Issuer = "https://oidc-eks.us-gov-west-1.api.aws/id/ABC"
	gov.Provider = gov.Cluster.Issuer.ProviderARN("aws-us-gov", "123456789012")
	noAudience := irsa
	noAudience.Audience = ""
	run(t, []row{
		{"sub and aud", web(`{"StringEquals":{"HOST:sub":"SUB","HOST:aud":"sts.amazonaws.com"}}`), irsa, Allow},
		{"no condition", web(`{}`), irsa, Allow},
		{"empty operator", web(`{"StringEquals":{}}`), irsa, Allow},
		{"key in another case", web(`{"stringequals":{"` + strings.ToUpper(testHost) + `:Sub":"SUB"}}`), irsa, Allow},
		{"value in another case", web(`{"StringEquals":{"HOST:sub":"system:serviceaccount:Demo:s3-reader"}}`), irsa, Deny},
		{"ignore case", web(`{"StringEqualsIgnoreCase":{"HOST:sub":"SYSTEM:serviceaccount:Demo:s3-reader"}}`), irsa, Allow},
		{"not, ignoring case", web(`{"StringNotEqualsIgnoreCase":{"HOST:sub":"SYSTEM:serviceaccount:Demo:s3-reader"}}`), irsa, Deny},
		{"list is or", web(`{"StringEquals":{"HOST:sub":["x","SUB"]}}`), irsa, Allow},
		{"negated list is nor", web(`{"StringNotEquals":{"HOST:sub":["x","SUB"]}}`), irsa, Deny},
		{"negated list without it", web(`{"StringNotEquals":{"HOST:sub":["x","y"]}}`), irsa, Allow},
		{"keys are and", web(`{"StringEquals":{"HOST:sub":"SUB","HOST:aud":"other"}}`), irsa, Deny},
		{"operators are and", web(`{"StringEquals":{"HOST:sub":"SUB"},"StringLike":{"HOST:aud":"o*"}}`), irsa, Deny},
		{"https in the key", web(`{"StringEquals":{"https://HOST:sub":"SUB"}}`), irsa, Deny},
		{"slash in the key", web(`{"StringEquals":{"HOST/:sub":"SUB"}}`), irsa, Deny},
		{"https in a negated key", web(`{"StringNotEquals":{"https://HOST:sub":"x"}}`), irsa, Allow},
		{"https in a deny", webDeny(`{"StringEquals":{"https://HOST:sub":"SUB"}}`), irsa, Allow},
		{"other issuer's key", web(`{"StringEquals":{"STALE:sub":"SUB"}}`), irsa, Deny},
		{"equals takes no wildcard", web(`{"StringEquals":{"HOST:sub":"system:serviceaccount:demo:*"}}`), irsa, Deny},
		{"like", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:demo:*"}}`), irsa, Allow},
		{"like crosses colons", web(`{"StringLike":{"HOST:sub":"system:*reader"}}`), irsa, Allow},
		{"like question marks", web(`{"StringLike":{"HOST:sub":"system:serviceaccount:demo:s?-reade?"}}`), irsa, Allow},
		{"like without wildcards", web(`{"StringLike":{"HOST:sub":"SUB"}}`), irsa, Allow},
		{"not like", web(`{"StringNotLike":{"HOST:sub":"system:serviceaccount:demo:*"}}`), irsa, Deny},
		{"not like another", web(`{"StringNotLike":{"HOST:sub":"system:serviceaccount:prod:*"}}`), irsa, Allow},
		{"dual-stack host in GovCloud", `{"Statement":{"Effect":"Allow","Principal":{"Federated":"arn:aws-us-gov:iam::123456789012:oidc-provider/oidc-eks.us-gov-west-1.api.aws/id/ABC"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"oidc-eks.us-gov-west-1.api.aws/id/ABC:sub":"system:serviceaccount:demo:s3-reader"}}}}`, gov, Allow},
		{"nothing of the other mechanism", web(`{"StringEquals":{"aws:SourceAccount":"123456789012"}}`), irsa, Deny},
		{"request tag of the other mechanism", web(`{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"demo"}}`), irsa, Deny},
		{"source ARN is not sent", web(`{"ArnLikeIfExists":{"aws:SourceArn":"arn:aws:s3:::x"}}`), irsa, Allow},
		{"empty audience is a value", web(`{"StringEquals":{"HOST:aud":""}}`), noAudience, Allow},
		{"role's account", web(`{"StringEquals":{"aws:ResourceAccount":"123456789012"}}`), irsa, Allow},
		{"TLS", webDeny(`{"Bool":{"aws:SecureTransport":"false"}}`), irsa, Allow},
	})
}

func TestPodIdentityConditions(t *testing.T) {
	t.Parallel()
	unknownARN, inOrg := podID, podID
	unknownARN.SourceARN, inOrg.OrgID = "", "o-a1b2c3d4e5"
	pinned := pods(`{"StringEquals":{"aws:SourceAccount":"123456789012","aws:RequestTag/eks-cluster-arn":"CLUSTERARN","aws:RequestTag/eks-cluster-name":"irsa-lab","aws:RequestTag/kubernetes-namespace":"demo","aws:RequestTag/kubernetes-service-account":"s3-reader"}}`)
	run(t, []row{
		{"pinned", pinned, podID, Allow},
		{"pinned without tags", pinned, untagged, Deny},
		{"key case", pods(`{"StringEquals":{"AWS:requesttag/Kubernetes-Namespace":"demo"}}`), podID, Allow},
		{"source account", pods(`{"StringEquals":{"aws:SourceAccount":123456789012}}`), untagged, Allow},
		{"other account", pods(`{"StringEquals":{"aws:SourceAccount":"210987654321"}}`), podID, Deny},
		{"the issuer's keys are not sent", pods(`{"StringEquals":{"HOST:sub":"SUB"}}`), podID, Deny},
		{"source ARN", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/*"}}`), podID, Allow},
		{"source ARN equals with wildcard", pods(`{"ArnEquals":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/irsa-?ab"}}`), podID, Allow},
		{"ARN wildcards stay in their part", pods(`{"ArnLike":{"aws:SourceArn":"arn:*:eu-central-1:123456789012:cluster/*:*"}}`), podID, Deny},
		{"like crosses parts", pods(`{"StringLike":{"aws:SourceArn":"arn:*:cluster/irsa-lab"}}`), podID, Allow},
		{"ARN of an association", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:123456789012:podidentityassociation/irsa-lab/*"}}`), podID, Deny},
		{"not like an ARN", pods(`{"ArnNotLike":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/*"}}`), podID, Deny},
		{"not equal to an ARN", pods(`{"ArnNotEquals":{"aws:SourceArn":"arn:aws:eks:*:210987654321:cluster/*"}}`), podID, Allow},
		{"short ARN pattern", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*"}}`), podID, Undecidable},
		{"value that is no ARN", pods(`{"ArnLike":{"aws:RequestTag/eks-cluster-name":"*:*:*:*:*:*"}}`), podID, Deny},
		{"unknown ARN", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/*"}}`), unknownARN, Undecidable},
		{"unknown ARN in a deny", podsDeny(`{"ArnNotLike":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/*"}}`), unknownARN, Undecidable},
		{"unknown ARN beside what fails", pods(`{"ArnLike":{"aws:SourceArn":"arn:aws:eks:*:123456789012:cluster/*"},"StringEquals":{"aws:SourceAccount":"210987654321"}}`), unknownARN, Deny},
		{"unknown ARN, anything will do", pods(`{"StringLikeIfExists":{"aws:SourceArn":"*"}}`), unknownARN, Allow},
		{"unknown ARN, present or not", pods(`{"Null":{"aws:SourceArn":["true","false"]}}`), unknownARN, Allow},
		{"unknown ARN, presence", pods(`{"Null":{"aws:SourceArn":"false"}}`), unknownARN, Undecidable},
		{"unknown organisation", pods(`{"StringEquals":{"aws:SourceOrgId":"o-a1b2c3d4e5"}}`), podID, Undecidable},
		{"organisation", pods(`{"StringEquals":{"aws:SourceOrgId":"o-a1b2c3d4e5"}}`), inOrg, Allow},
		{"organisation of the role", pods(`{"StringEquals":{"aws:SourceOrgId":"${aws:ResourceOrgId}"}}`), inOrg, Allow},
		{"organisation of the role, unknown", pods(`{"StringEquals":{"aws:SourceOrgId":"${aws:ResourceOrgId}"}}`), podID, Undecidable},
		{"source address", pods(`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`), podID, Undecidable},
		{"pod name", pods(`{"StringLike":{"aws:RequestTag/kubernetes-pod-name":"s3-*"}}`), podID, Undecidable},
		{"any pod name", pods(`{"StringLike":{"aws:RequestTag/kubernetes-pod-name":"*"}}`), podID, Allow},
		{"a pod UID is sent", pods(`{"Null":{"aws:RequestTag/kubernetes-pod-uid":"false"}}`), podID, Allow},
		{"no pod UID without tags", pods(`{"Null":{"aws:RequestTag/kubernetes-pod-uid":"true"}}`), untagged, Allow},
		{"a tag that EKS does not send", pods(`{"StringEquals":{"aws:RequestTag/team":"x"}}`), podID, Deny},
		{"session name", pods(`{"StringLike":{"sts:RoleSessionName":"eks-*"}}`), podID, Undecidable},
		{"called by a service", pods(`{"Bool":{"aws:PrincipalIsAWSService":true}}`), podID, Allow},
		{"service's name", pods(`{"StringEquals":{"aws:PrincipalServiceName":"pods.eks.amazonaws.com"}}`), podID, Allow},
		{"a service has no organisation", pods(`{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}`), podID, Deny},
		{"transitive tags", pods(`{"ForAnyValue:StringEquals":{"sts:TransitiveTagKeys":"eks-cluster-arn"}}`), podID, Allow},
		{"role's tags", pods(`{"StringEquals":{"aws:ResourceTag/team":"x"}}`), podID, Undecidable},
		{"deny that certainly applies beats the unknown", expand(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}},{"Effect":"Deny","Principal":"*","Action":"*"}]}`), podID, Deny},
		{"unknown allow beside a sure one", expand(`{"Statement":[{"Effect":"Allow","Principal":PODS,"Action":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}},{"Effect":"Allow","Principal":PODS,"Action":"*"}]}`), podID, Allow},
	})
}
