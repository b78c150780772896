//go:build nightly

package interop

import (
	"maps"
	"strconv"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// call is one question in the evaluator's terms.
type call struct {
	Action    string         `json:"action"`
	Principal string         `json:"principal"`
	Context   map[string]any `json:"context"`
}

// world is one way in which what a request leaves open may be in truth. A decided
// answer of lanyard's must hold in every world.
type world []call

// context is what both calls carry for certain.
func context(r trust.Request) map[string]any {
	c := map[string]any{"aws:SecureTransport": "true", "aws:ResourceAccount": "123456789012"}
	if !r.Now.IsZero() {
		c["aws:CurrentTime"] = r.Now.UTC().Format(time.RFC3339)
		c["aws:EpochTime"] = strconv.FormatInt(r.Now.Unix(), 10)
	}
	if r.Mechanism == identity.IRSA {
		c[host+":sub"] = "system:serviceaccount:" + r.Subject.Namespace + ":" + r.Subject.ServiceAccount
		c[host+":aud"] = r.Audience
		return c
	}
	c["aws:SourceAccount"] = r.Cluster.Account
	c["aws:PrincipalIsAWSService"] = "true"
	c["aws:PrincipalServiceName"] = "pods.eks.amazonaws.com"
	if r.SourceARN != "" {
		c["aws:SourceArn"] = r.SourceARN
	}
	if r.OrgID != "" {
		c["aws:SourceOrgID"], c["aws:ResourceOrgID"] = r.OrgID, r.OrgID
	}
	if r.SessionTags {
		tags := []string{"eks-cluster-arn", "eks-cluster-name", "kubernetes-namespace", "kubernetes-service-account", "kubernetes-pod-name", "kubernetes-pod-uid"}
		c["aws:TagKeys"], c["sts:TransitiveTagKeys"] = tags, tags
		c["aws:RequestTag/eks-cluster-arn"] = cluster
		c["aws:RequestTag/eks-cluster-name"] = "lab"
		c["aws:RequestTag/kubernetes-namespace"] = r.Subject.Namespace
		c["aws:RequestTag/kubernetes-service-account"] = r.Subject.ServiceAccount
	}
	return c
}

// worlds fills in what lanyard calls unknown, in three ways: what may be missing is
// missing; it is there with the values that policies like to name; and with others.
func worlds(r trust.Request) [3]world {
	certain := context(r)
	pods := r.Mechanism == identity.PodIdentity
	always := [3]map[string]any{ // carried by every call, with a value that varies
		{"aws:RequestedRegion": "eu-central-1", "sts:RoleSessionName": "a"},
		{"aws:RequestedRegion": "eu-central-1", "sts:RoleSessionName": "a"},
		{"aws:RequestedRegion": "us-east-1", "sts:RoleSessionName": "b"},
	}
	for i, when := range [3]time.Time{time.Unix(1795424400, 0), time.Unix(1795424400, 0), time.Unix(1600000000, 0)} {
		always[i]["aws:CurrentTime"] = when.UTC().Format(time.RFC3339)
		always[i]["aws:EpochTime"] = strconv.FormatInt(when.Unix(), 10)
		if pods {
			always[i]["aws:PrincipalServiceNamesList"] = []string{"pods.eks.amazonaws.com", "pods.eks.eu-central-1.amazonaws.com"}
		}
		if pods && r.SessionTags {
			always[i]["aws:RequestTag/kubernetes-pod-name"] = [3]string{"s3-reader-x7", "pod-1", "zzz"}[i]
			always[i]["aws:RequestTag/kubernetes-pod-uid"] = "0c5c1b9e-0000-4000-8000-000000000000"
		}
	}
	perhaps := [3]map[string]any{ // carried or not
		{},
		{"aws:SourceIp": "203.0.113.7", "aws:ResourceOrgID": orgID},
		{"aws:SourceIp": "2001:db8::1", "aws:ResourceOrgID": "o-zzzzzzzzzz"},
	}
	if pods {
		for i, v := range [3][2]string{1: {cluster, orgID}, 2: {"arn:aws:eks:us-east-1:123456789012:cluster/lab", "o-zzzzzzzzzz"}} {
			if i > 0 {
				perhaps[i]["aws:SourceArn"], perhaps[i]["aws:SourceOrgID"] = v[0], v[1]
			}
		}
	}
	var out [3]world
	for i := range out {
		c := maps.Clone(always[i])
		maps.Copy(c, perhaps[i])
		maps.Copy(c, certain)
		switch {
		case !pods:
			out[i] = world{{"sts:AssumeRoleWithWebIdentity", r.Provider, c}}
		case r.SessionTags:
			out[i] = world{{"sts:AssumeRole", "pods.eks.amazonaws.com", c}, {"sts:TagSession", "pods.eks.amazonaws.com", c}}
		default:
			out[i] = world{{"sts:AssumeRole", "pods.eks.amazonaws.com", c}}
		}
	}
	return out
}
