package awsd

import (
	"slices"
	"time"
)

// Call is the record of one request.
type Call struct {
	Seq       int // Counts from 1, without gaps.
	Time      time.Time
	Service   string // "iam", "sts", "eks" or "eks-auth".
	Operation string // As AWS writes it: "UpdateAssumeRolePolicy".
	Account   string // The caller's.
	Region    string
	Principal string // The caller's ARN; empty if the request was not signed.
	Resource  string // What it is about: a role's name, an association's ID, an ARN.
	Params    string // The request's parameters, without tokens.
	Mutating  bool   // The operation may change something ([Mutating]).
	Status    int    // The HTTP status; 0 if the connection was cut or hung.
	ErrorCode string // Empty on success.
	Fault     Kind   // The fault that was in force, if any.
}

// Calls returns the calls after the one with the sequence number since, oldest first, and
// the cursor to pass the next time. A cursor of 0 returns all.
func (s *Server) Calls(since int) ([]Call, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[min(max(since, 0), len(s.calls)):]), len(s.calls)
}

// operations lists every operation that the server has, by service; true are those that
// change something.
var operations = map[string]map[string]bool{
	"iam": {
		"GetRole": false, "ListRoles": false, "GetAccountAuthorizationDetails": false, "UpdateAssumeRolePolicy": true,
		"GetAccountSummary": false, "ListOpenIDConnectProviders": false, "GetOpenIDConnectProvider": false,
		"ListRolePolicies": false, "GetRolePolicy": false, "ListAttachedRolePolicies": false, "GetPolicy": false,
		"GetPolicyVersion": false, "ListRoleTags": false,
	},
	"sts": {"GetCallerIdentity": false, "AssumeRole": false, "AssumeRoleWithWebIdentity": false},
	"eks": {
		"DescribeCluster": false, "ListPodIdentityAssociations": false, "DescribePodIdentityAssociation": false,
		"CreatePodIdentityAssociation": true, "UpdatePodIdentityAssociation": true, "DeletePodIdentityAssociation": true,
		"ListAddons": false, "DescribeAddon": false, "DescribeAddonConfiguration": false, "ListFargateProfiles": false,
		"DescribeFargateProfile": false, "TagResource": true, "UntagResource": true, "ListTagsForResource": false,
	},
	"eks-auth": {"AssumeRoleForPodIdentity": false},
}

// Mutating reports whether an operation of a service changes something. Unknown operations
// count as mutating. Handing out credentials changes nothing.
func Mutating(service, operation string) bool {
	mutating, known := operations[service][operation]
	return mutating || !known
}
